//! What was hot before a restart is there after it.

use serde_json::{Value, json};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, header, problem, schedule, success_json};
use reqwest::{Method, RequestBuilder};

const ON: [(&str, &str); 1] = [("TIDEGATE_CACHE_WARM_UP", "100")];

/// The progress, once everything has had its turn.
async fn warmed(api: &Api) -> Value {
    let done = async || Some(api.json("/api/cache").await["warm_up"].clone()).filter(|seen| seen["state"] == "done");
    poll_until(DEADLINE, done).await.expect("it ends")
}

#[tokio::test]
async fn the_hottest_keys_are_loaded_at_the_next_start_before_any_request() {
    let mut api = Api::start_with(&ON).await;
    assert_eq!(warmed(&api).await["total"], 0, "the first start knows no keys");
    api.create_tenant("acme", "enterprise").await;
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    let made = success_json(request.json(&schedule("one"))).await;
    let paths = [format!("/api/schedules/{}", made["id"].as_str().expect("an id")), "/api/schedules".to_owned()];
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
async fn without_hot_keys_nothing_is_kept() {
    let mut api = Api::start_with(&[("TIDEGATE_CACHE_WARM_UP", "0")]).await;
    assert_eq!(api.json("/api/cache").await["warm_up"], Value::Null);
    api.process.stop().await.expect("it ends");
    assert!(!api.scratch.join("hot-keys").exists());
}

/// A list of keys of that class, each with as much heat.
fn list(class: &str, keys: impl Iterator<Item = String>) -> String {
    let lines: String = keys.map(|key| format!("5\t{class}\t{key}\n")).collect();
    format!("tidegate hot keys 1\n{lines}")
}

#[tokio::test]
async fn a_list_whose_loads_fail_is_not_replaced_by_the_little_that_was_read() {
    let mut api = Api::start_with(&ON).await;
    api.create_tenant("acme", "enterprise").await;
    api.process.stop().await.expect("it ends");
    // Keys that this version can't load.
    let cold: Vec<_> = (0..50).map(|index| format!("nonsense:{index}")).collect();
    std::fs::write(api.scratch.join("hot-keys"), list("schedule", cold.iter().cloned())).expect("a file");

    let mut next = api.start_beside(&ON).await;
    assert_eq!(warmed(&next).await["failed"], 50);
    success_json(next.get_as("acme", "/api/schedules")).await;
    next.process.stop().await.expect("it ends");
    let kept = std::fs::read_to_string(api.scratch.join("hot-keys")).expect("the list");
    let keys: Vec<_> = kept.lines().skip(1).filter_map(|line| line.split('\t').nth(2)).collect();
    assert_eq!(keys[keys.len() - 50..], cold, "{kept}");
    assert!(keys.contains(&"schedules:acme:limit=50"), "{kept}");
}

fn on_demand(api: &Api) -> RequestBuilder {
    api.request(Method::POST, "/api/cache?action=warmup")
}

/// An API with three schedules in its database and none in its cache, and the schedules' paths.
async fn cleared(variables: &[(&str, &str)]) -> (Api, Vec<String>) {
    let api = Api::start_with(variables).await;
    api.create_tenant("acme", "enterprise").await;
    let mut paths = Vec::new();
    for title in ["one", "two", "three"] {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let made = success_json(request.json(&schedule(title))).await;
        paths.push(format!("/api/schedules/{}", made["id"].as_str().expect("an id")));
    }
    success_json(api.request(Method::DELETE, "/api/cache").json(&json!({"all": true}))).await;
    (api, paths)
}

#[tokio::test]
async fn on_demand_the_newest_are_loaded_where_no_list_is_kept() {
    let (api, paths) = cleared(&[]).await;
    let answer = on_demand(&api).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let begun: Value = answer.json().await.expect("JSON");
    assert_eq!(begun["warm_up"]["total"], 5, "the tenant, its first page and three schedules: {begun}");
    let seen = warmed(&api).await;
    assert_eq!((&seen["loaded"], &seen["failed"], &seen["unknown"]), (&json!(5), &json!(0), &json!(0)), "{seen}");
    for path in paths.iter().map(String::as_str).chain(["/api/schedules"]) {
        let answer = api.get_as("acme", path).send().await.expect("an answer");
        assert!(header(&answer, "cache-status").starts_with("tidegate; hit"), "{path}: {answer:?}");
    }

    let again = success_json(on_demand(&api).json(&json!({"type": "schedule", "limit": 2}))).await;
    assert_eq!(again["warm_up"]["total"], 2, "{again}");
    let seen = warmed(&api).await;
    assert_eq!((&seen["present"], &seen["total"]), (&json!(2), &json!(2)), "{seen}");
}

#[tokio::test]
async fn on_demand_the_list_is_loaded_where_one_is_kept() {
    let (api, paths) = cleared(&ON).await;
    let id = paths[1].rsplit('/').next().expect("an id");
    let hot = list("schedule", std::iter::once(format!("schedule:acme:{id}")));
    std::fs::write(api.scratch.join("hot-keys"), hot).expect("a file");
    warmed(&api).await;
    let begun = success_json(on_demand(&api).json(&json!({"type": "all"}))).await;
    assert_eq!(begun["warm_up"]["total"], 1, "{begun}");
    assert_eq!(warmed(&api).await["loaded"], 1);
    let answer = api.get_as("acme", &paths[1]).send().await.expect("an answer");
    assert!(header(&answer, "cache-status").starts_with("tidegate; hit"), "{answer:?}");
}

#[tokio::test]
async fn while_a_warm_up_runs_another_is_refused_and_the_end_of_the_process_leaves_its_list() {
    const SLOW: [(&str, &str); 1] = [("TIDEGATE_CACHE_WARM_UP", "100000, concurrency=1")];
    let mut api = Api::start_with(&ON).await;
    api.process.stop().await.expect("it ends");
    let keys = (0..100_000).map(|index| format!("schedule:acme:00000000-0000-7000-8000-{index:012}"));
    let hot = list("schedule", keys);
    std::fs::write(api.scratch.join("hot-keys"), &hot).expect("a file");

    let mut next = api.start_beside(&SLOW).await;
    let refused = problem(on_demand(&next).send().await.expect("an answer"), 409, "warm-up-runs").await;
    assert_eq!((&refused["warm_up"]["state"], &refused["warm_up"]["total"]), (&json!("running"), &json!(100_000)));
    next.process.stop().await.expect("it ends");
    assert!(std::fs::read_to_string(api.scratch.join("hot-keys")).expect("the list") == hot, "it is another list");
}

#[tokio::test]
async fn a_warm_up_that_makes_no_sense_is_refused() {
    let api = Api::start().await;
    for (path, body, status, kind) in [
        ("/api/cache", json!({}), 400, "bad-query"),
        ("/api/cache?action=", json!({}), 400, "bad-query"),
        ("/api/cache?action=clear", json!({}), 400, "bad-query"),
        ("/api/cache?action=warmup&type=all", json!({}), 400, "bad-query"),
        ("/api/cache?action=warmup", json!({"class": "schedule"}), 400, "unexpected-json"),
        ("/api/cache?action=warmup", json!([]), 400, "unexpected-json"),
        ("/api/cache?action=warmup", json!({"limit": -1}), 400, "unexpected-json"),
        ("/api/cache?action=warmup", json!({"limit": 0}), 422, "bad-limit"),
        ("/api/cache?action=warmup", json!({"limit": 100_001}), 422, "bad-limit"),
        ("/api/cache?action=warmup", json!({"type": "computation"}), 422, "bad-selection"),
        ("/api/cache?action=warmup", json!({"type": ""}), 422, "bad-selection"),
    ] {
        let answer = api.request(Method::POST, path).json(&body).send().await.expect("an answer");
        problem(answer, status, kind).await;
    }
    let plain = on_demand(&api).body("schedule").send().await.expect("an answer");
    problem(plain, 415, "unsupported-media-type").await;
    assert_eq!(api.json("/api/cache").await["warm_up"], Value::Null, "none was begun");
}

#[tokio::test]
async fn a_process_without_a_list_of_its_own_takes_that_of_redis() {
    let mut api = Api::start_on(Servers::Single(RedisServer::start().await), &ON).await;
    api.create_tenant("acme", "enterprise").await;
    success_json(api.get_as("acme", "/api/schedules")).await;
    warmed(&api).await;
    api.process.stop().await.expect("it ends");
    std::fs::remove_file(api.scratch.join("hot-keys")).expect("it was written too");

    let next = api.start_beside(&ON).await;
    let seen = warmed(&next).await;
    assert!(seen["total"].as_u64() >= Some(2), "the tenant and the page: {seen}");
}
