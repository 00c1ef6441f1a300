//! What was hot before a restart is there after it.

use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, header, schedule, success_json};
use reqwest::Method;

const ON: [(&str, &str); 1] = [("TIDEGATE_CACHE_WARM_UP", "100")];

/// The progress, once everything has had its turn.
async fn warmed(api: &Api) -> Value {
    let done = async || Some(api.json("/api/cache").await["warm_up"].clone()).filter(|seen| seen["state"] == "done");
    poll_until(DEADLINE, done).await.expect("it ends")
}

#[tokio::test]
async fn the_hottest_keys_are_loaded_at_the_next_start_before_anybody_asks() {
    let mut api = Api::start_with(&ON).await;
    assert_eq!(warmed(&api).await["total"], 0, "the first start knows no keys");
    api.create_tenant("acme", "enterprise").await;
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    let made = success_json(request.json(&schedule("one"))).await;
    let paths =
        [format!("/api/schedules/{}", made["id"].as_str().expect("an id")), "/api/schedules?limit=7".to_owned()];
    for path in &paths {
        success_json(api.get_as("acme", path)).await;
    }
    api.process.stop().await.expect("it ends");

    let next = api.start_beside(&ON).await;
    let seen = warmed(&next).await;
    assert_eq!((&seen["failed"], &seen["unknown"]), (&json!(0), &json!(0)), "{seen}");
    assert_eq!(seen["loaded"].as_u64().zip(seen["present"].as_u64()).map(|(a, b)| a + b), seen["total"].as_u64());
    assert!(seen["total"].as_u64() >= Some(3), "the tenant, its schedule and the page: {seen}");
    for path in &paths {
        let answer = next.get_as("acme", path).send().await.expect("an answer");
        assert!(header(&answer, "cache-status").starts_with("tidegate; hit"), "{path}: {answer:?}");
    }
    // What was changed before the restart is not what it was.
    assert_eq!(success_json(next.get_as("acme", &paths[0])).await, made);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_a_cold_start() {
    let mut api = Api::start_with(&ON).await;
    warmed(&api).await;
    api.process.stop().await.expect("it ends");
    std::fs::write(api.scratch.join("hot-keys"), "not a list").expect("a file");
    let next = api.start_beside(&ON).await;
    assert_eq!(warmed(&next).await["total"], 0);
    assert!(next.process.log().find(|line| line.contains("starts cold")).is_some());
}

#[tokio::test]
async fn without_the_setting_nothing_is_kept() {
    let mut api = Api::start().await;
    assert_eq!(api.json("/api/cache").await["warm_up"], Value::Null);
    api.process.stop().await.expect("it ends");
    assert!(!api.scratch.join("hot-keys").exists());
}
