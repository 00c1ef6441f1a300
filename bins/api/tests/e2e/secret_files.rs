//! Secrets that come from files, and change while the processes run.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, Scratch, poll_until};

use crate::harness::{Api, DEADLINE, api, run, success_json};

const FIRST: &str = "first-token-0123456789";
const SECOND: &str = "second-token-0123456789";

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    // As orchestrators do it: another file under the name.
    let beside = directory.join("beside");
    std::fs::write(&beside, text).expect("a file");
    std::fs::rename(beside, &path).expect("a name");
    path
}

/// Makes a process check its files now.
async fn hang_up(process: &Process) {
    let command = format!("kill -HUP {}", process.pid().expect("it runs"));
    assert_eq!(run(Process::builder("/bin/sh").args(["-c", &command])).await.code, Some(0));
}

#[tokio::test]
async fn a_token_in_a_file_changes_without_a_restart() {
    let secrets = Scratch::new();
    let file = write(secrets.path(), "admin", &format!("{FIRST}\n"));
    let mut api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN_FILE", file.to_str().unwrap())]).await;
    let status = async |token: &str| {
        api.request(Method::GET, "/api/tenants").bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status(FIRST).await, status(SECOND).await), (200, 401));
    write(secrets.path(), "admin", SECOND);
    hang_up(&api.process).await;
    poll_until(DEADLINE, async || (status(SECOND).await == 200).then_some(())).await.expect("the new one");
    assert_eq!(status(FIRST).await, 401);

    // An invalid token leaves the previous one in use.
    for bad in ["", "short", "with spaces in between it"] {
        write(secrets.path(), "admin", bad);
        hang_up(&api.process).await;
        let told = api.process.wait_for_line("the previous secret stays in use", DEADLINE).await.expect("a warning");
        assert!(told.contains("tokens.admin") && !told.contains("between"), "{told}");
        let status = api.request(Method::GET, "/api/tenants").bearer_auth(SECOND).send().await;
        assert_eq!(status.unwrap().status(), 200, "after {bad:?}");
    }
    let log = format!("{:?}", api.process.log().lines());
    assert!(!log.contains(FIRST) && !log.contains(SECOND), "{log}");
}

#[tokio::test]
async fn a_password_of_the_database_changes_without_a_failed_request() {
    let server = PostgresServer::start_tcp(&[]).await;
    server.psql("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app; CREATE ROLE later LOGIN").await;
    server.psql("GRANT app TO later").await;
    let secrets = Scratch::new();
    let url = |user: &str| server.url().replace("postgres@", &format!("{user}@"));
    let file = write(secrets.path(), "database", &url("app"));
    let api = Api::start_with(&[("DATABASE_URL_FILE", file.to_str().unwrap())]).await;
    api.create_tenant("acme", "enterprise").await;
    write(secrets.path(), "database", &url("later"));
    hang_up(&api.process).await;
    let taken = api.process.log().clone();
    let read = async || {
        let lines = taken.lines();
        lines.iter().any(|line| line.text.contains("used from now on")).then_some(())
    };
    poll_until(DEADLINE, read).await.expect("the new login");
    // The old login ends, with all of its connections.
    server.psql("ALTER ROLE app NOLOGIN").await;
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'").await;
    for number in 0..20 {
        let request = api.request(Method::POST, "/api/tenants");
        let id = format!("tenant-{number}");
        success_json(request.json(&json!({"id": id, "name": id, "tier": "free"}))).await;
    }
    let users = server
        .psql("SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity WHERE application_name = 'tidegate'");
    assert_eq!(users.await, "later");
}

#[tokio::test]
async fn a_password_of_redis_changes_without_a_lost_job() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">first", "~*", "&*", "+@all"]).await;
    let secrets = Scratch::new();
    let url = |password: &str| format!("redis://app:{password}@127.0.0.1:{}", server.port());
    let file = write(secrets.path(), "redis", &url("first"));
    let variables = [("REDIS_URL_FILE", file.to_str().unwrap())];
    let api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", crate::harness::csv(10, &[])).await;
    api.job_in_state(&id, "done").await;
    server.cli(&["ACL", "SETUSER", "app", "resetpass", ">second"]).await;
    write(secrets.path(), "redis", &url("second"));
    hang_up(&api.process).await;
    let log = api.process.log().clone();
    let read = async || log.lines().iter().any(|line| line.text.contains("used from now on")).then_some(());
    poll_until(DEADLINE, read).await.expect("the new login");
    // Each connection has to log in again.
    server.cli(&["CLIENT", "KILL", "USER", "app"]).await;
    // A request whose connection to Redis is cut is answered 503, for the client to send again.
    let accepted = poll_until(DEADLINE, async || {
        let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
        let request = request.header("content-type", "text/csv").body(crate::harness::csv(10, &[]));
        let answer = request.send().await.expect("an answer");
        if answer.status() == 503 {
            return None;
        }
        assert_eq!(answer.status(), 202);
        Some(answer.json::<Value>().await.expect("JSON"))
    });
    let accepted = accepted.await.expect("the job store is reached again");
    let id = accepted["job_id"].as_str().expect("a job id").to_owned();
    api.job_in_state(&id, "done").await;
    let lines = format!("{:?}", api.process.log().lines());
    assert!(!lines.contains("WRONGPASS"), "{lines}");
}

#[tokio::test]
async fn a_secret_that_can_not_be_read_stops_a_start_and_names_the_file() {
    let secrets = Scratch::new();
    let missing = secrets.path().join("missing").display().to_string();
    let empty = write(secrets.path(), "empty", " \n").display().to_string();
    let directory = secrets.path().display().to_string();
    for (path, reason) in [(&missing, "can't be read"), (&empty, "is empty"), (&directory, "can't be read")] {
        for variable in ["TIDEGATE_ADMIN_TOKEN_FILE", "DATABASE_URL_FILE", "REDIS_URL_FILE"] {
            let ended = run(api(secrets.path(), &[(variable, path)]).arg("--check")).await;
            assert_eq!(ended.code, Some(2), "{}", ended.err);
            assert!(ended.err.contains(path.as_str()) && ended.err.contains(reason), "{}", ended.err);
            assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        }
    }
    let file = write(secrets.path(), "token", FIRST).display().to_string();
    let both = [("TIDEGATE_ADMIN_TOKEN", SECOND), ("TIDEGATE_ADMIN_TOKEN_FILE", file.as_str())];
    let ended = run(api(secrets.path(), &both).arg("--check")).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("set twice") && !ended.err.contains(SECOND), "{}", ended.err);
}

#[tokio::test]
async fn a_variable_stands_over_the_secret_file_of_the_settings_file() {
    let secrets = Scratch::new();
    let file = write(secrets.path(), "token", FIRST);
    let settings = format!("[tokens]\nadmin_file = '{}'\n", file.display());
    let settings = write(secrets.path(), "tidegate.toml", &settings);
    let shown = async |variables: &[(&str, &str)]| {
        let program = api(secrets.path(), variables).arg("--config").arg(&settings).arg("--print-settings");
        let ended = run(program).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(!ended.out.contains(FIRST) && !ended.out.contains(SECOND), "{}", ended.out);
        let line = ended.out.lines().find(|line| line.starts_with("# TIDEGATE_ADMIN_TOKEN"));
        line.expect("the token").to_owned()
    };
    assert!(shown(&[]).await.contains(&format!("secret file {}", file.display())));
    assert!(shown(&[("TIDEGATE_ADMIN_TOKEN", SECOND)]).await.contains("environment variable"));
}
