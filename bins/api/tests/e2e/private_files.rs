//! Tenants' data is only accessible to the account of the process, whatever account created the
//! directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_testkit::{Process, Scratch, binary, poll_until};

use crate::harness::{DEADLINE, api, client, csv, listening_at, success_json};

/// Every file below, with its rights.
fn files(directory: &Path) -> Vec<(PathBuf, u32)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let all = entries.flat_map(|path| match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => files(&path),
        Ok(found) => vec![(path, found.permissions().mode() & 0o777)],
        // Gone by now.
        Err(_) => Vec::new(),
    });
    all.collect()
}

#[tokio::test]
async fn files_are_private_also_in_a_directory_that_is_not() {
    let scratch = Scratch::new();
    let data = scratch.join("data");
    fs::create_dir(&data).expect("a directory");
    fs::create_dir(data.join("spool")).expect("a directory");
    for directory in [&data, &data.join("spool")] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let variables = [("TIDEGATE_CACHE_WARM_UP", "10"), ("TIDEGATE_WORKER", "none")];
    let mut process = api(&data, &variables).start().expect("it starts");
    let url = listening_at(&mut process).await;
    let warned = process.log().find(|line| line.contains("WARN") && line.contains("chmod 700"));
    assert!(warned.is_some(), "the directory is open to others");
    let client = client();
    let tenant = serde_json::json!({"id": "acme", "name": "Acme", "tier": "enterprise"});
    let made = client.post(format!("{url}/api/tenants")).json(&tenant).send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    let upload = client.post(format!("{url}/api/schedules/import")).header("x-tenant-id", "acme");
    let upload = upload.header("content-type", "text/csv").body(csv(3, &[])).send().await.expect("an answer");
    assert_eq!(upload.status(), 202);
    let while_it_runs = files(&data);
    process.stop().await.expect("it ends");
    let hot = async || data.join("hot-keys").exists().then_some(());
    poll_until(DEADLINE, hot).await.expect("the list is written at the end");
    let all: Vec<_> = while_it_runs.into_iter().chain(files(&data)).collect();
    for name in ["tidegate.db", "tidegate.db-wal", "tidegate.db-shm", "queue.db", "queue.db-wal", ".lock", "hot-keys"] {
        assert!(all.iter().any(|(path, _)| path.ends_with(name)), "{name} is not among {all:?}");
    }
    assert!(all.iter().any(|(path, _)| path.parent().is_some_and(|parent| parent.ends_with("spool"))), "{all:?}");
    for (path, rights) in &all {
        assert_eq!(rights & 0o077, 0, "{}: {rights:o}", path.display());
    }
}

#[tokio::test]
async fn exports_and_backups_are_private_whatever_the_umask_and_the_rights_of_their_directory() {
    let scratch = Scratch::new();
    let data = scratch.join("data");
    let kept = ["", "files", "files/backup", "files/export"].map(|name| data.join(name));
    for directory in &kept {
        fs::create_dir(directory).expect("a directory");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let program = binary("tidegate-api");
    let mut process = Process::builder("/bin/sh")
        .args(["-c", "umask 0; exec \"$0\""])
        .arg(&program)
        .current_dir(scratch.path())
        .env("TIDEGATE_DATA_DIR", &data)
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .start()
        .expect("it starts");
    let url = listening_at(&mut process).await;
    let client = client();
    let post = async |path: &str, body: Value| {
        let request = client.post(format!("{url}{path}")).header("x-tenant-id", "acme").json(&body);
        success_json(request).await
    };
    post("/api/tenants", json!({"id": "acme", "name": "Acme", "tier": "enterprise"})).await;
    let begun = [post("/api/schedules/export", json!({"format": "csv"})).await, post("/api/backups", json!({})).await];
    for job in begun {
        let location = job["location"].as_str().expect("a location");
        let done = poll_until(DEADLINE, async || {
            let state = success_json(client.get(format!("{url}{location}")).header("x-tenant-id", "acme")).await;
            (state["state"] == "done").then_some(())
        });
        done.await.expect("it ends");
    }
    let all = files(&data);
    let below = |name: &str| all.iter().filter(|(path, _)| path.starts_with(data.join("files").join(name))).count();
    assert!(below("backup") > 0 && below("export") > 0, "{all:?}");
    for (path, rights) in &all {
        assert_eq!(*rights, 0o600, "{}: {rights:o}", path.display());
    }
    let rights = fs::metadata(data.join("files")).expect("it is there").permissions().mode();
    assert_eq!(rights & 0o777, 0o700, "only its owner can open it");
    process.stop().await.expect("it ends");
}

#[tokio::test]
async fn a_directory_of_its_own_is_no_cause_to_warn() {
    let scratch = Scratch::new();
    let mut process = api(&scratch.join("data"), &[]).current_dir(scratch.path()).start().expect("it starts");
    listening_at(&mut process).await;
    assert!(process.log().find(|line| line.contains("chmod 700")).is_none());
    let rights = fs::metadata(scratch.join("data")).expect("it is made").permissions().mode();
    assert_eq!(rights & 0o777, 0o700);
}
