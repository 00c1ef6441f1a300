//! A data directory that is deleted under a running process: nothing more is acknowledged.

use std::fs;

use reqwest::Method;
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, problem, schedule, success_json};

#[tokio::test]
async fn a_deleted_data_directory_ends_writes_and_readiness() {
    let mut api = Api::start().await;
    api.create_tenant("acme", "free").await;
    let write = || api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
    success_json(write()).await;
    for file in ["tidegate.db", "tidegate.db-wal", "tidegate.db-shm", "queue.db", "queue.db-wal", "queue.db-shm"] {
        fs::remove_file(api.scratch.join(file)).expect("it is there");
    }
    let refusal = problem(write().send().await.expect("an answer"), 503, "unavailable").await;
    assert!(refusal["detail"].as_str().is_some_and(|detail| detail.contains("data directory")), "{refusal}");
    let backup = api.request(Method::POST, "/api/backups").send().await.expect("an answer");
    assert_eq!(backup.status(), 503, "no job is acknowledged");
    let not_ready = poll_until(DEADLINE, async || {
        let answer = api.request(Method::GET, "/readyz").send().await.expect("an answer");
        if answer.status() == 503 { answer.text().await.ok() } else { None }
    });
    let text = not_ready.await.expect("it is seen");
    assert!(text.contains("data directory was deleted"), "{text}");
    let logged = api.process.wait_for_line("the data directory is gone", DEADLINE).await.expect("it is logged");
    assert!(logged.contains("tidegate.db") && logged.contains("restart"), "{logged}");
}
