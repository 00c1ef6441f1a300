//! A start on Redis: what it says, what it keeps where, what it never says.

use reqwest::Method;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, csv, success_json};

const PASSWORD: &str = "hunter2-redis";

#[tokio::test]
async fn it_says_what_it_runs_on_and_no_password_not_even_at_trace() {
    let server = RedisServer::builder().password(PASSWORD).start().await;
    let address = format!("127.0.0.1:{}", server.port());
    let variables = [("RUST_LOG", "trace"), ("TIDEGATE_WORKER_LISTEN", "127.0.0.1:0")];
    let mut api = Api::start_on(Servers::Single(server), &variables).await;
    let banner = api.process.log().find(|line| line.contains("Queue, limits")).expect("what it runs on");
    assert!(banner.contains(&format!("redis://:***@{address}")) && banner.contains("tidegate.db"), "{banner}");
    let mut worker = api.worker(&variables).start().expect("it starts");
    let banner = worker.wait_for_line("works on the queues", DEADLINE).await.expect("its banner");
    assert!(banner.contains(&format!("redis://:***@{address}")), "{banner}");

    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(20, &[3])).await;
    api.job_in_state(&id, "done").await;
    for probe in ["/readyz", "/startupz", "/livez"] {
        assert_eq!(api.request(Method::GET, probe).send().await.expect("an answer").status(), 200, "{probe}");
    }
    let told = poll_until(DEADLINE, async || {
        let report = super::report(&api).await;
        report["servers"].as_array().is_some_and(|servers| !servers.is_empty()).then_some(report)
    });
    let report = told.await.expect("the server is asked at the start");
    assert_eq!(report["available"], true, "{report}");
    let server = &report["servers"][0];
    assert_eq!(server["address"], address, "{report}");
    assert!(server["version"].is_string() && server["used_memory"].as_u64() > Some(0), "{report}");
    for (figure, least) in [
        ("tidegate_redis_available{use=\"queue\"}", 1.0),
        ("tidegate_redis_available{use=\"limits\"}", 1.0),
        ("tidegate_redis_available{use=\"cache\"}", 1.0),
        (&*format!("tidegate_redis_used_memory_bytes{{server=\"{address}\"}}"), 1.0),
        (&*format!("tidegate_redis_clients{{server=\"{address}\"}}"), 1.0),
        ("tidegate_redis_warnings", 0.0),
    ] {
        let value = super::metric(&api, figure).await.unwrap_or_else(|| panic!("{figure} is missing"));
        assert!(value >= least, "{figure} is {value}");
    }
    assert!(!api.scratch.join("queue.db").exists(), "jobs lie on Redis");

    worker.stop().await.expect("it ends");
    api.process.stop().await.expect("it ends");
    for process in [&api.process, &worker] {
        let leak = process.log().lines().into_iter().find(|line| line.text.contains("hunter2"));
        assert!(leak.is_none(), "{leak:?}");
    }
}

#[tokio::test]
async fn the_cache_may_have_a_server_of_its_own_that_evicts() {
    let cache = RedisServer::builder().set("maxmemory-policy", "allkeys-lru").start().await;
    let api = Api::start_on(Servers::Single(RedisServer::start().await), &[("REDIS_CACHE_URL", &cache.url())]).await;
    api.create_tenant("acme", "enterprise").await;
    for _ in 0..2 {
        success_json(api.get_as("acme", "/api/schedules")).await;
    }
    let id = api.import_csv("acme", csv(20, &[])).await;
    api.job_in_state(&id, "done").await;
    let report = super::report(&api).await;
    assert_eq!(report["uses"][2]["url"], format!("redis://127.0.0.1:{}", cache.port()), "{report}");
    assert_ne!(report["uses"][0]["url"], report["uses"][2]["url"], "{report}");
    assert!(cache.cli(&["KEYS", "*"]).await.contains("tidegate:"), "values are there");
    assert!(!cache.cli(&["KEYS", "*"]).await.contains("{q:"), "jobs don't");
}

#[tokio::test]
async fn a_server_without_an_append_only_file_is_warned_of_and_used() {
    let server = RedisServer::builder().set("appendonly", "no").start().await;
    let api = Api::start_on(Servers::Single(server), &[]).await;
    let warned = api.process.log().find(|line| line.contains("append-only")).expect("a warning");
    assert!(warned.contains("WARN"), "{warned}");
    let report = super::report(&api).await;
    assert!(report["warnings"][0].as_str().is_some_and(|warning| warning.contains("append-only")), "{report}");
}

#[tokio::test]
async fn installations_of_two_prefixes_share_a_server_and_nothing_else() {
    let server = RedisServer::start().await;
    let one = Api::start_on(Servers::At(server.url()), &[]).await;
    let other = Api::start_on(Servers::At(server.url()), &[("TIDEGATE_REDIS_PREFIX", "other")]).await;
    for api in [&one, &other] {
        api.create_tenant("acme", "free").await;
    }
    for _ in 0..60 {
        assert_eq!(one.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
    }
    assert_eq!(one.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 429);
    assert_eq!(other.get_as("acme", "/api/schedules").send().await.expect("an answer").status(), 200);
    one.create_tenant("large", "enterprise").await;
    let id = one.import_csv("large", csv(1, &[])).await;
    one.job_in_state(&id, "done").await;
    assert_eq!(other.json("/api/queue/import").await["completed_total"], 0);
}
