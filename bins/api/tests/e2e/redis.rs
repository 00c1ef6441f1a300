//! What is Redis' own: what a start says of it, what an outage costs, which keys it is left with.

mod bad_start;
mod databases;
mod keyspace;
mod load;
mod outages;
mod start;

use reqwest::Method;
use serde_json::Value;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, problem, schedule, success_json};

/// Returns the API's report on Redis.
async fn report(api: &Api) -> Value {
    api.json("/api/performance").await["redis"].clone()
}

/// Waits until every use of Redis is served, or one isn't.
async fn until_available(api: &Api, available: bool) {
    let seen = poll_until(DEADLINE, async || (report(api).await["available"] == available).then_some(()));
    assert!(seen.await.is_ok(), "it does not become {available}: {}", report(api).await);
}

/// The value of a metric, by its name and labels as they are written.
async fn metric(api: &Api, name: &str) -> Option<f64> {
    let answer = api.request(Method::GET, "/metrics").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("text");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn what_the_shared_cache_answers_is_no_miss_of_its_class() {
    const PAGES: usize = 120;
    let mut api = Api::start_on(Servers::Single(RedisServer::start().await), &[]).await;
    api.create_tenant("acme", "enterprise").await;
    let read_all = async |api: &Api| {
        for number in 1..=PAGES {
            // What is not there is kept as what is.
            let nowhere = format!("/api/schedules/00000000-0000-7000-8000-{number:012}");
            problem(api.get_as("acme", &nowhere).send().await.expect("an answer"), 404, "not-found").await;
        }
    };
    read_all(&api).await;
    api.process.stop().await.expect("it ends");

    let next = api.start_beside(&[]).await;
    read_all(&next).await;
    let cache = next.json("/api/cache").await;
    let classes = cache["classes"].as_array().expect("classes");
    let class = classes.iter().find(|class| class["class"] == "schedule").expect("the class");
    let [hits, misses, shared, loads] =
        ["hits", "misses", "shared_hits", "loads"].map(|figure| class[figure].as_u64().expect(figure));
    let pages = PAGES as u64;
    // On a busy machine Redis answers one or the other too late, and the page is loaded.
    assert_eq!((hits, misses, shared + loads), (0, pages, pages), "{class}");
    let rate = class["hit_rate"].as_f64().expect("a rate");
    assert!(rate >= 0.8 && (rate * 120.0 - shared as f64).abs() < 1e-9, "{class}");
    let warnings = cache["warnings"].as_array().expect("warnings");
    assert!(!warnings.iter().any(|warning| warning.as_str().expect("a text").starts_with("class")), "{cache}");
    assert_eq!(cache["low_hit_rate"], serde_json::json!([]));
    // Durations are reported once their second is over.
    let timed = poll_until(DEADLINE, async || {
        let latency = next.json("/api/cache").await["tiers"][1]["latency_us"].take();
        (latency["samples"].as_u64() >= Some(pages)).then_some(latency)
    });
    let latency = timed.await.expect("each lookup is timed");
    assert!(latency["p99"].as_f64() >= latency["p50"].as_f64(), "{latency}");
}

#[tokio::test]
async fn the_cache_shows_its_redis() {
    let api = Api::start_on(Servers::Single(RedisServer::start().await), &[]).await;
    let seen = poll_until(DEADLINE, async || {
        let cache = api.json("/api/cache").await;
        (cache["redis"]["servers"][0]["used_memory"].as_u64() > Some(0)).then_some(cache)
    });
    let cache = seen.await.expect("it is read at the start");
    let redis = &cache["redis"];
    assert_eq!(redis["available"], true);
    let server = &redis["servers"][0];
    for figure in ["resident_memory", "fragmentation", "clients", "rejected_connections", "evicted_keys"] {
        assert!(server[figure].is_number(), "{figure}: {server}");
    }
    assert!(redis["slow_commands"].is_array() && redis["warnings"].is_array(), "{redis}");
    assert_eq!(cache["tiers"][1]["tier"], "l2");
    assert_eq!(cache["tiers"][1]["from_replicas"], 0);
}

#[tokio::test]
async fn the_cache_reads_from_replicas_where_that_is_switched_on() {
    let primary = RedisServer::start().await;
    let _replica = RedisServer::builder().replica_of(&primary).start().await;
    let api = Api::start_on(Servers::Single(primary), &[]).await;
    api.create_tenant("acme", "enterprise").await;
    let mut paths = Vec::new();
    for index in 0..100 {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let made = success_json(request.json(&schedule(&format!("s{index}")))).await;
        let path = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
        success_json(api.get_as("acme", &path)).await;
        paths.push(path);
    }
    // It has none of them in memory yet; a replica is read from a moment after its start on.
    let variables = [("TIDEGATE_CACHE_REPLICAS", "100ms")];
    let beside = api.start_beside(&variables).await;
    let from_replicas = async || beside.json("/api/cache").await["tiers"][1]["from_replicas"].as_u64();
    let answered = poll_until(DEADLINE, async || {
        success_json(beside.get_as("acme", &paths.pop()?)).await;
        (from_replicas().await > Some(0)).then_some(())
    });
    assert!(answered.await.is_ok(), "{}", beside.json("/api/cache").await);
}
