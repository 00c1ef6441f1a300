//! Backups, and what the command `restore` makes of them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{self, Api, DEADLINE, csv, good_titles, header, problem, run, success_json, with};

const ADMIN: &str = "an-admin-token-that-is-long";
const READ: &str = "a-read-token-that-is-long-too";

async fn backed_up(api: &Api) -> Value {
    let request = || api.request(Method::POST, "/api/backups").header("idempotency-key", "nightly");
    let begun = success_json(request()).await;
    let again = request().send().await.expect("an answer");
    assert_eq!((again.status().as_u16(), header(&again, "idempotent-replayed").as_str()), (202, "true"));
    let location = begun["location"].as_str().expect("a location").to_owned();
    let done = poll_until(DEADLINE, async || {
        let job = api.json(&location).await;
        (job["state"] == "done").then(|| job["result"].clone())
    });
    done.await.expect("the backup ends")
}

#[tokio::test]
pub(crate) async fn a_backup_is_restored_by_command_once_no_process_runs() {
    let mut api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let import = api.import_csv("acme", csv(1_200, &[3])).await;
    api.job_in_state(&import, "done").await;
    let made = backed_up(&api).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let listed = api.json("/api/backups").await;
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["bytes"]), (&made["id"], &made["bytes"]));
    assert!(listed["items"][0]["created_at"].is_string() && listed["items"][1].is_null(), "{listed}");

    // What comes after it is gone with the restore.
    let later = json!({"title": "later", "starts_at": "2030-01-01T09:00:00Z", "ends_at": "2030-01-01T10:00:00Z"});
    success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&later)).await;

    let restore = async |arguments: &[&str]| {
        let program = with(harness::api(api.scratch.path(), &[]), &api.servers);
        run(program.arg("restore").args(arguments)).await
    };
    let running = restore(&[&id, "--replace"]).await;
    assert!(running.code == Some(3) && running.err.contains("stop every tidegate-api"), "{}", running.err);
    api.process.stop().await.expect("it ends");
    let full = restore(&[&id]).await;
    assert!(full.code == Some(3) && full.err.contains("--replace"), "{}", full.err);
    let restored = restore(&[&id, "--replace"]).await;
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    for table in made["tables"].as_array().expect("tables") {
        let digest = table["sha256"].as_str().expect("a digest");
        assert!(restored.out.contains(digest), "{table} is not in\n{}", restored.out);
    }

    let again = api.start_beside(&[]).await;
    assert_eq!(again.titles("acme").await, good_titles(1_200, &[3]));
}

#[tokio::test]
pub(crate) async fn backups_are_the_operations_affair() {
    let variables = [("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_READ_TOKEN", READ), ("TIDEGATE_WORKER", "none")];
    let api = Api::start_with(&variables).await;
    let send = async |method: Method, token: Option<&str>| {
        let request = api.request(method, "/api/backups");
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.expect("an answer")
    };
    problem(send(Method::GET, None).await, 401, "unauthorized").await;
    problem(send(Method::POST, Some(READ)).await, 403, "forbidden").await;
    assert_eq!(send(Method::GET, Some(READ)).await.status(), StatusCode::OK);
    assert_eq!(send(Method::POST, Some(ADMIN)).await.status(), StatusCode::ACCEPTED);
}
