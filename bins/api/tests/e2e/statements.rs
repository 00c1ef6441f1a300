//! The reported statements of the service, and the pools that run them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::backend::is_shared;
use crate::harness::{Api, DEADLINE, csv, problem, schedule, success_json};
use crate::numbers::exposition::{Buckets, Exposition, labels};

async fn slow_queries(api: &Api) -> Value {
    api.json("/api/performance?type=slow-queries&limit=100").await
}

async fn metrics(api: &Api) -> Exposition {
    let answer = api.request(Method::GET, "/metrics").send().await.expect("an answer");
    Exposition::parse(&answer.text().await.expect("text"))
}

/// The statements of a list that have that in their text.
fn with<'a>(list: &'a Value, text: &str) -> Vec<&'a Value> {
    let list = list.as_array().expect("a list").iter();
    list.filter(|statement| statement["text"].as_str().is_some_and(|found| found.contains(text))).collect()
}

/// Every statement is slow, and whatever is logged is; but for the access log, which names tenants.
const ALL_OF_IT: [(&str, &str); 3] = [
    ("TIDEGATE_PERFORMANCE_HEALTH", "slow_query=1us"),
    ("RUST_LOG", "trace,fred=off"),
    ("TIDEGATE_HTTP_ACCESS_LOG", "off"),
];

#[tokio::test]
async fn slow_queries_are_shown_without_values() {
    // Without a worker, whose statements may be slower than those of a page: only the slowest of a
    // second are logged.
    let api = Api::start_with(&[&ALL_OF_IT[..], &[("TIDEGATE_WORKER", "none")]].concat()).await;
    api.create_tenant("zaphod", "enterprise").await;
    for number in 0..100 {
        let new = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "zaphod");
        let title = format!("schedule {number}");
        let (begin, end) = ("2030-01-08T09:00:00Z", "2030-01-08T09:15:00Z");
        let whole = json!({"title": title, "starts_at": begin, "ends_at": end, "attendees": ["ada@example.org"]});
        success_json(new.json(&whole)).await;
    }
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut number = 0;
    let slow = poll_until(DEADLINE, async || {
        // A page of another length than the usual is read from the tables.
        number += 1;
        let read = api.get_as("zaphod", &format!("/api/schedules?limit={}", 200 - number % 100));
        success_json(read.header("traceparent", traced).header("x-request-id", "the-slow-one")).await;
        let purge = api.request(Method::DELETE, "/api/cache").json(&json!({"all": true}));
        success_json(purge).await;
        let slow = slow_queries(&api).await;
        let is_ours = |slow: &&Value| slow["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736";
        let is_there = with(&slow["items"], "from schedule where tenant_id = ?").iter().any(is_ours);
        // The pulse writes them once a second, the slowest first.
        let line = api.process.log().find(|line| line.contains("slow statement") && line.contains("the-slow-one"));
        (is_there && line.is_some()).then_some(slow)
    });
    let slow = slow.await.expect("no page of a hundred is read within a microsecond");
    let first = &slow["items"][0];
    assert!(first["elapsed_ms"].as_f64() > Some(0.001) && first["fingerprint"].as_str().is_some(), "{first}");
    assert!(slow["calls"].as_u64() > Some(100) && slow["forgotten"] == 0, "{slow}");
    shows_no_values(&api, &slow);
}

#[tokio::test]
async fn an_import_is_shown_without_values() {
    let api = Api::start_with(&ALL_OF_IT).await;
    api.create_tenant("zaphod", "enterprise").await;
    let id = api.import_csv("zaphod", csv(200, &[])).await;
    api.job_in_state(&id, "done").await;
    let slow = slow_queries(&api).await;
    let inserted = with(&slow["top_by_total"], "insert into schedule");
    assert_eq!(inserted.iter().filter_map(|shape| shape["rows"].as_u64()).sum::<u64>(), 200, "{inserted:?}");
    shows_no_values(&api, &slow);
}

fn shows_no_values(api: &Api, page: &Value) {
    let log: String = api.process.log().lines().into_iter().map(|line| line.text + "\n").collect();
    for (whose, text) in [("page", page.to_string()), ("log", log)] {
        for value in ["ada@example.org", "schedule 7", "2030-01-08", "zaphod"] {
            assert!(!text.contains(value), "{value} is on the {whose}");
        }
        assert!(!text.contains("db.statement") && !text.contains("sqlx::query"), "the {whose} has sqlx's own words");
    }
}

#[tokio::test]
async fn six_equal_statements_in_one_request_are_reported() {
    let api = Api::start().await;
    // An invalidation is a row, and each row a statement.
    let purge = async |keys: usize| {
        let keys: Vec<_> = (0..keys).map(|key| format!("none:{key}")).collect();
        success_json(api.request(Method::DELETE, "/api/cache").json(&json!({"keys": keys}))).await
    };
    for _ in 0..4 {
        purge(5).await;
    }
    for _ in 0..2 {
        purge(6).await;
    }
    purge(8).await;
    let told = poll_until(DEADLINE, async || {
        let slow = slow_queries(&api).await;
        slow["repeated"].as_array().is_some_and(|told| !told.is_empty()).then_some(slow)
    });
    let told = told.await.expect("three requests did so");
    let repeated = &told["repeated"][0];
    assert_eq!((told["repeated"].as_array().map(Vec::len), &repeated["route"]), (Some(1), &json!("/api/cache")));
    assert!(repeated["text"].as_str().is_some_and(|text| text.starts_with("insert into invalidation")), "{repeated}");
    assert_eq!(
        ["requests", "calls", "most"].map(|name| repeated[name].as_u64()),
        [Some(3), Some(20), Some(8)],
        "{repeated}"
    );
    let counted = metrics(&api).await.all("tidegate_db_repeated_statements_total");
    assert_eq!(counted, BTreeMap::from([(labels([]), 20.0)]));
}

#[tokio::test]
async fn no_page_and_no_list_of_queues_repeats_a_statement() {
    let settings = [("TIDEGATE_PERFORMANCE_SLOW", "n_plus_one=1"), ("TIDEGATE_WORKER", "inner")];
    let api = Api::start_with(&settings).await;
    for tenant in ["acme", "beta", "gamma"] {
        api.create_tenant(tenant, "enterprise").await;
        let cron = json!({"name": tenant, "expression": "30 2 * * *", "queue": "import"});
        success_json(api.request(Method::POST, "/api/queue/cron").json(&cron)).await;
    }
    let id = api.import_csv("acme", csv(3, &[])).await;
    api.job_in_state(&id, "done").await;
    let job = format!("/dashboard/queues/import/jobs/{id}");
    for _ in 0..4 {
        for path in [
            "/dashboard",
            "/dashboard/performance",
            "/dashboard/queues",
            "/dashboard/queues/import?state=done",
            &job,
            "/dashboard/cron",
            "/dashboard/limits?tenant=acme",
            "/dashboard/cache",
            "/api/queue",
            "/api/queue/import",
            "/api/queue/import/jobs?state=done",
            "/api/queue/cron",
            "/api/rate-limit",
            "/api/cache",
            "/api/performance",
            "/metrics",
        ] {
            let answer = api.request(Method::GET, path).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{path}");
        }
    }
    let slow = slow_queries(&api).await;
    // Posts are seen too: they made the tenants.
    let reads = ["/dashboard", "/api/queue", "/api/rate-limit", "/api/cache", "/api/performance", "/metrics"];
    let is_read = |told: &&Value| {
        reads.iter().any(|read| told["route"].as_str().is_some_and(|route| route.starts_with(read)))
            && told["text"].as_str().is_some_and(|text| text.starts_with("select") || text.starts_with("with"))
    };
    let told: Vec<_> = slow["repeated"].as_array().expect("a list").iter().filter(is_read).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_commit_counts_to_the_request_that_made_it() {
    let api = Api::start_with(&[("TIDEGATE_PERFORMANCE_SLOW", "n_plus_one=1")]).await;
    api.create_tenant("acme", "enterprise").await;
    let created = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
    let id = success_json(created).await["id"].as_str().expect("an id").to_owned();
    // A task of its own inserts one invalidation for the key and one for the list's tag.
    for _ in 0..3 {
        let path = format!("/api/schedules/{id}");
        let change = api.request(Method::PUT, &path).header("x-tenant-id", "acme").json(&schedule("two"));
        success_json(change).await;
    }
    let told = poll_until(DEADLINE, async || {
        let slow = slow_queries(&api).await;
        let told = with(&slow["repeated"], "insert into invalidation").into_iter().next().cloned();
        told.filter(|told| told["requests"] == 3)
    });
    let told = told.await.expect("the commit belongs to its request");
    assert_eq!((&told["route"], &told["most"]), (&json!("/api/schedules/{id}"), &json!(2)), "{told}");
}

#[tokio::test]
async fn statements_of_the_job_store_are_seen() {
    let api = Api::start().await;
    let database = |name| labels([("database", name)]);
    let before = metrics(&api).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(3, &[])).await;
    api.job_in_state(&id, "done").await;
    let counts = |metrics: &Exposition| metrics.all("tidegate_db_statements_total");
    // The reported figures may be a second old.
    let newer = poll_until(DEADLINE, async || {
        let after = metrics(&api).await;
        (counts(&after)[&database("app")] > counts(&before)[&database("app")] + 3.0).then_some(after)
    });
    let after = newer.await.expect("they are counted");
    assert_eq!(counts(&after).len(), 2, "no label but the two databases");
    let grown = |name| counts(&after)[&database(name)] - counts(&before)[&database(name)];
    let times = after.histograms("tidegate_db_statement_duration_seconds");
    for (labels, times) in &times {
        times.assert_consistent();
        assert_eq!(times.count, counts(&after)[labels]);
    }
    if is_shared() {
        assert_eq!(grown("queue"), 0.0, "jobs are on Redis");
    } else {
        assert!(grown("queue") > 3.0, "{}", grown("queue"));
        let slow = slow_queries(&api).await;
        assert!(!with(&slow["top_by_total"], "insert into job").is_empty(), "{slow}");
    }
}

#[tokio::test]
async fn the_pools_are_shown_with_their_waits() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    for number in 0..5 {
        let title = format!("number {number}");
        let created = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule(&title));
        success_json(created).await;
    }
    let pools = api.json("/api/performance?type=pools").await;
    let [read, write] = pools["items"].as_array().expect("a list").as_slice() else { panic!("two pools: {pools}") };
    assert_eq!((&read["name"], &read["max"], &read["failed"]), (&json!("app-read"), &json!(4), &json!(0)));
    assert_eq!((&write["name"], &write["max"], &write["open"]), (&json!("app-write"), &json!(1), &json!(1)));
    assert!(write["acquired"].as_u64() >= Some(6), "{write}");
    assert!(write["acquire_mean_ms"].as_f64() <= write["acquire_max_ms"].as_f64(), "{write}");

    let metrics = metrics(&api).await;
    let of = |pool| labels([("pool", pool)]);
    let acquired = metrics.histograms("tidegate_db_pool_acquire_seconds");
    acquired.values().for_each(Buckets::assert_consistent);
    assert!(acquired[&of("app-write")].count >= 6.0);
    assert_eq!(metrics.all("tidegate_db_pool_max_connections")[&of("app-read")], 4.0);
    for gauge in ["tidegate_db_pool_connections", "tidegate_db_pool_in_use", "tidegate_db_pool_waiting"] {
        assert_eq!(metrics.all(gauge).len(), 2, "{gauge}");
    }
    let health = poll_until(DEADLINE, async || {
        let health = api.json("/api/performance?type=health").await;
        let judged = health.to_string();
        (judged.contains("pool_wait") && judged.contains("pool_stuck")).then_some(())
    });
    health.await.expect("health is judged by them");

    let unknown = api.request(Method::GET, "/api/performance?type=nothing").send().await.expect("an answer");
    let detail = problem(unknown, 422, "bad-type").await["detail"].as_str().expect("a text").to_owned();
    for known in ["health", "slow-apis", "slow-queries", "pools"] {
        assert!(detail.contains(&format!("`{known}`")), "{detail}");
    }
}
