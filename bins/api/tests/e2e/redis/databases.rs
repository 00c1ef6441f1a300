//! Cached data in Redis belongs to one database: another one neither sees nor clears it, and a lost
//! mark costs nothing.

use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use reqwest::Method;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, header, schedule, success_json};

/// Removes every key but entries, generations and epochs of the cache, as an evicting server might.
/// Returns how many entries of schedules are left.
const EVICT: &str = "local entries = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
    if not string.find(key, ':c[eg]?:{') then redis.call('DEL', key) \
    elseif string.find(key, ':c:{schedule:') then entries = entries + 1 end end return entries";

/// An API whose shared cache holds a schedule; and the path of that.
async fn with_a_cached_schedule(server: &RedisServer) -> (Api, String) {
    let api = Api::start_on(Servers::At(server.url()), &[]).await;
    api.create_tenant("acme", "enterprise").await;
    let create = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
    let made = success_json(create).await;
    let path = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
    success_json(api.get_as("acme", &path)).await;
    let filled = poll_until(DEADLINE, async || {
        let keys = server.cli(&["KEYS", "*:c:{schedule:acme:*"]).await;
        (!keys.trim().is_empty()).then_some(())
    });
    filled.await.expect("it is kept in Redis");
    (api, path)
}

async fn cache_status(api: &Api, path: &str) -> String {
    let answer = api.get_as("acme", path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    header(&answer, "cache-status")
}

#[tokio::test]
async fn a_start_keeps_the_shared_cache_though_every_other_key_was_evicted() {
    let server = RedisServer::start().await;
    let (mut api, path) = with_a_cached_schedule(&server).await;
    api.process.stop().await.expect("it ends");
    assert_eq!(server.cli(&["EVAL", EVICT, "0"]).await.trim(), "1");
    let next = api.start_beside(&[]).await;
    assert_eq!(cache_status(&next, &path).await, "tidegate; hit; detail=shared");
}

#[tokio::test]
async fn another_database_under_the_prefix_neither_sees_nor_clears_the_shared_cache() {
    let server = RedisServer::start().await;
    let (mut api, path) = with_a_cached_schedule(&server).await;
    api.process.stop().await.expect("it ends");

    let other = Api::start_on(Servers::At(server.url()), &[]).await;
    assert!(other.process.log().find(|line| line.contains("last used with another database")).is_some());
    other.create_tenant("acme", "enterprise").await;
    let foreign = other.get_as("acme", &path).send().await.expect("an answer");
    assert_eq!(foreign.status(), 404, "it is cached, of another database");

    let next = api.start_beside(&[]).await;
    assert_eq!(cache_status(&next, &path).await, "tidegate; hit; detail=shared");
    assert!(next.process.log().find(|line| line.contains("last used with another database")).is_some());
}
