//! Every number that the service reports is exactly that of a scripted run.

pub(crate) mod exposition;
mod metrics;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use self::exposition::Exposition;
use self::metrics::{answered, assert_cache, assert_limiters, assert_queue, assert_requests, float};
use self::script::{Decisions, Lookups, Script};
use crate::backend;
use crate::harness::DEADLINE;

#[tokio::test]
async fn the_cache_counts_what_was_found_and_what_was_not() {
    let mut script = Script::run().await;
    let cache = timed_cache(&mut script).await;
    let (tenants, schedules) = (script.tenants, script.schedules);

    let classes = cache["classes"].as_array().expect("classes");
    let asked: Vec<_> = classes.iter().filter(|class| class["hits"] != 0 || class["misses"] != 0).collect();
    assert_eq!((classes.len(), asked.len()), (4, 2), "users' are there too, without a request for them: {cache}");
    for (name, ttl_seconds, lookups) in [("tenant", 600, tenants), ("schedule", 7_200, schedules)] {
        let mut found = named(&cache["classes"], "class", name).clone();
        let settings = found.as_object_mut().expect("an object").remove("settings").expect("settings");
        assert_eq!(settings["ttl_seconds"], f64::from(ttl_seconds), "{settings}");
        assert_eq!(found, class(name, ttl_seconds, lookups));
    }
    let mut tier = cache["tiers"][0].clone();
    let capacity = tier["capacity"].take().as_u64().expect("a number");
    assert!((255 << 20..=256 << 20).contains(&capacity), "the capacity is the setting, less what shards can't divide");
    let weight = tier["weight"].take().as_u64().expect("a number");
    assert!((script.entries..capacity).contains(&weight), "bytes: {weight}");
    let latency = tier.as_object_mut().expect("an object").remove("latency_us").expect("times");
    let (hits, misses) = (tenants.hits + schedules.hits, tenants.misses + schedules.misses);
    let expected = json!({
        "tier": "l1", "entries": script.entries, "weight": null, "capacity": null,
        "hits": hits, "misses": misses, "hit_rate": rate(Lookups { hits, misses, ..tenants }), "evictions": 0,
    });
    assert_eq!((&tier, cache["tiers"].as_array().map(Vec::len)), (&expected, Some(1)));

    let classes = [("tenant", tenants), ("schedule", schedules)];
    let low: Vec<_> = classes.into_iter().filter(|(_, of)| rate(*of) < 0.8 && of.hits + of.misses >= 100).collect();
    assert_eq!(cache["low_hit_rate"], low.iter().map(|(name, _)| *name).collect::<Value>());
    let samples = latency["samples"].as_u64().expect("a number");
    assert!((1..=hits + misses).contains(&samples), "a sample of the lookups is timed: {samples}");
}

#[tokio::test]
async fn the_limiters_count_what_they_let_through_and_refused() {
    let mut script = Script::run().await;
    let limits = read(&mut script, "/api/rate-limit").await;
    // This very request is among those that `ddos` let through.
    let told = |name: &str| {
        let limiters = limits["limiters"].as_array().expect("limiters");
        limiters.iter().find(|limiter| limiter["name"] == name).expect(name)["stats"].clone()
    };
    let expected = [stats(&script.ddos), stats(&script.client), stats(&script.quota)];
    assert_eq!(["ddos", "api", "tenant"].map(told), expected);
    let nobody = stats(&Decisions::default());
    assert_eq!(["auth", "report"].map(told), [nobody.clone(), nobody]);
}

#[tokio::test]
pub(crate) async fn performance_has_every_request_under_its_route() {
    let mut script = Script::run().await;
    let before = script.answers.clone();
    let performance = read(&mut script, "/api/performance").await;
    assert_eq!(counted(&performance["totals"]), before, "all but this very request, which had not ended");
    for total in performance["totals"].as_array().expect("totals") {
        assert_eq!(total["aborted"], 0);
        assert_eq!(total["count"].as_u64() > Some(0), total["seconds"].as_f64() > Some(0.0), "{total}");
    }

    // The windows have everything as soon as the second is over.
    let others = |answers: &BTreeMap<(String, String), _>| {
        let mut others = answers.clone();
        others.remove(&("GET".to_owned(), "/api/performance".to_owned()));
        others
    };
    let filed = poll_until(DEADLINE, async || {
        let performance = read(&mut script, "/api/performance").await;
        (others(&counted(&performance["window"])) == others(&before)).then_some(performance)
    });
    let performance = filed.await.expect("the second ends");
    assert_eq!(performance["window_seconds"], 300);
    let operations = performance["operations"].as_array().expect("operations");
    let names: BTreeSet<_> = operations
        .iter()
        .map(|operation| ["kind", "operation"].map(|name| operation[name].as_str().expect("text").to_owned()))
        .collect();
    // With Redis there is a second tier, and the queue has no tables.
    let other = if backend::is_shared() { ["cache", "l2"] } else { ["database", "queue.statement"] };
    let expected = [
        ["cache", "l1"],
        ["database", "app.change"],
        ["database", "app.statement"],
        other,
        ["rendering", "metrics"],
        ["rendering", "performance"],
    ];
    assert_eq!(names, BTreeSet::from(expected.map(|names| names.map(str::to_owned))));
    for endpoint in performance["window"].as_array().expect("a window") {
        assert_eq!(
            (&endpoint["errors"], &endpoint["error_rate"], &endpoint["aborted"]),
            (&json!(0), &json!(0.0), &json!(0))
        );
        let times = ["p50_ms", "p95_ms", "p99_ms", "max_ms"].map(|name| endpoint[name].as_f64());
        assert!(times.is_sorted(), "{endpoint}");
    }
}

#[tokio::test]
pub(crate) async fn the_queue_counts_its_jobs_by_what_became_of_them() {
    let mut script = Script::run().await;
    let mut expected: BTreeMap<String, Value> =
        script.queue.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    expected.extend([
        ("queue".to_owned(), json!("import")),
        ("paused".to_owned(), json!(false)),
        ("oldest_ready_age_seconds".to_owned(), Value::Null),
        ("settings".to_owned(), json!({"max_running": null, "rate": null, "events": false})),
    ]);

    let mut queues = read(&mut script, "/api/queue").await;
    assert_eq!(queues["next_cursor"], Value::Null);
    let names: Vec<&Value> = queues["items"].as_array().expect("items").iter().map(|queue| &queue["queue"]).collect();
    let names = json!(names);
    let at = names.as_array().and_then(|names| names.iter().position(|name| name == "import")).expect("the imports");
    let workers = queues["items"][at]["workers"].take();
    // The inner worker ran each job once. Two meters time the runs, and a read between their
    // updates sees one without the other, so both are polled.
    let ended = json!(script.queue["completed_total"] + script.queue["failed_total"]);
    let mut runs = queues["items"][at]["latency"].take();
    let timed = poll_until(DEADLINE, async || {
        if ["run_time_ms", "queue_wait_ms"].iter().any(|name| runs[name]["samples"] != ended) {
            runs = read(&mut script, "/api/queue").await["items"][at]["latency"].take();
            return None;
        }
        Some(())
    });
    assert!(timed.await.is_ok(), "{ended} runs: {runs}");
    queues["items"][at]["rates"].take();
    for name in ["workers", "latency", "rates"] {
        expected.insert(name.to_owned(), Value::Null);
    }
    assert_eq!(queues["items"][at], json!(expected));
    assert_eq!(workers.as_array().map(Vec::len), Some(1), "the one inside: {workers}");
    assert_eq!(workers[0]["pid"], json!(script.api.process.pid()));
    assert_eq!(workers[0]["queues"], names, "all that there are");

    for (state, count) in [("ready", 0), ("delayed", 0), ("leased", 0), ("done", 3), ("dead", 0), ("cancelled", 1)] {
        let path = format!("/api/queue/import/jobs?state={state}");
        let listed: Value = script.get("/api/queue/{queue}/jobs", &path, 200).await.json().await.expect("JSON");
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(count), "{state}: {listed}");
    }
}

#[tokio::test]
async fn health_rests_on_exactly_the_requests_that_were_answered() {
    let mut script = Script::run().await;
    let mut before = judged(&script);
    let judged = poll_until(DEADLINE, async || {
        let now = judged(&script);
        let answer = script.get("/health", "/health", 200).await;
        assert_eq!(answer.headers()["content-type"], "application/health+json");
        let health: Value = answer.json().await.expect("JSON");
        let samples = health["checks"]["error_rate"][0]["samples"].as_u64().unwrap_or(0);
        assert!(samples <= now, "{samples} requests are judged when {now} were answered");
        // The verdict comes once a second: between two of these requests, or during one.
        let is_exact = samples == now || samples == before;
        before = now;
        (is_exact && health["status"] == "pass").then_some(health)
    });
    let health = judged.await.expect("the verdict counts every request");
    for (check, observed) in [("error_rate", 0.0), ("queues_without_live_worker", 0.0), ("job_store_unreachable", 0.0)]
    {
        assert_eq!(health["checks"][check][0]["observedValue"], observed, "{health}");
    }
    assert_eq!((&health["health"], &health["score"]), (&json!("healthy"), &json!(100)));

    for (probe, text) in [("/livez", "alive\n"), ("/readyz", "ready\n"), ("/startupz", "ready\n")] {
        assert_eq!(script.get(probe, probe, 200).await.text().await.expect("text"), text);
    }
}

#[tokio::test]
async fn metrics_give_prometheus_the_same_numbers() {
    let mut script = Script::run().await;
    let cache = timed_cache(&mut script).await;
    let answer = script.api.request(reqwest::Method::GET, "/metrics").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let metrics = Exposition::parse(&answer.text().await.expect("text"));

    assert_requests(&metrics, &script);
    assert_cache(&metrics, &script, &cache);
    assert_limiters(&metrics, &script);
    assert_queue(&metrics, &script);
    let families: Vec<_> = metrics.families.keys().map(String::as_str).collect();
    let expected = [
        "cache_hits",
        "cache_misses",
        "cache_response_seconds",
        "process_cpu_seconds",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
        "process_virtual_memory_bytes",
        "tidegate_access_log_dropped",
        "tidegate_alert_deliveries",
        "tidegate_alerts_firing",
        "tidegate_build_info",
        "tidegate_cache_collapsed",
        "tidegate_cache_entries",
        "tidegate_cache_errors",
        "tidegate_cache_evictions",
        "tidegate_cache_from_replicas",
        "tidegate_cache_load_failures",
        "tidegate_cache_loads",
        "tidegate_cache_owed",
        "tidegate_cache_shared_hits",
        "tidegate_cache_stale_hits",
        "tidegate_cache_tier_hits",
        "tidegate_cache_tier_misses",
        "tidegate_db_pool_acquire_seconds",
        "tidegate_db_pool_connections",
        "tidegate_db_pool_failures",
        "tidegate_db_pool_in_use",
        "tidegate_db_pool_max_connections",
        "tidegate_db_pool_waiting",
        "tidegate_db_repeated_statements",
        "tidegate_db_statement_duration_seconds",
        "tidegate_db_statements",
        "tidegate_health_score",
        "tidegate_health_status",
        "tidegate_http_body_wait_seconds",
        "tidegate_http_in_flight",
        "tidegate_http_refusal_seconds",
        "tidegate_http_request_duration_seconds",
        "tidegate_http_requests",
        "tidegate_http_requests_aborted",
        "tidegate_http_requests_left_early",
        "tidegate_http_requests_refused",
        "tidegate_http_shed",
        "tidegate_http_wait_seconds",
        "tidegate_job_acks_abandoned",
        "tidegate_job_leases_lost",
        "tidegate_job_reclaims",
        "tidegate_job_run_seconds",
        "tidegate_job_runs",
        "tidegate_job_stale_acks",
        "tidegate_job_store_failures",
        "tidegate_job_store_full",
        "tidegate_job_unknown_kinds",
        "tidegate_job_wait_seconds",
        "tidegate_jobs",
        "tidegate_operation_duration_seconds",
        "tidegate_operation_failures",
        "tidegate_perfmon_dropped_series",
        "tidegate_perfmon_memory_bytes",
        "tidegate_perfmon_record_seconds",
        "tidegate_perfmon_refused_names",
        "tidegate_perfmon_rejected",
        "tidegate_perfmon_tick_seconds",
        "tidegate_postgres_connections",
        "tidegate_postgres_max_connections",
        "tidegate_postgres_replica_lag_seconds",
        "tidegate_queue_dropped",
        "tidegate_queue_jobs",
        "tidegate_queue_length",
        "tidegate_queue_oldest_job_seconds",
        "tidegate_queue_paused",
        "tidegate_queue_recovered",
        "tidegate_queue_workers",
        "tidegate_ratelimit_alone",
        "tidegate_ratelimit_blocked_keys",
        "tidegate_ratelimit_decisions",
        "tidegate_ratelimit_evicted_live",
        "tidegate_ratelimit_tracked_keys",
        "tidegate_runtime_busy_seconds",
        "tidegate_runtime_queued_tasks",
        "tidegate_runtime_tasks",
        "tidegate_runtime_workers",
        "tidegate_scrape_errors",
        "tidegate_verdict_age_seconds",
    ];
    assert_eq!(families, expected);
}

/// The page of the cache, once the second is over in which lookups were timed.
async fn timed_cache(script: &mut Script) -> Value {
    let timed = poll_until(DEADLINE, async || {
        let cache = read(script, "/api/cache").await;
        (cache["tiers"][0]["latency_us"]["samples"].as_u64() > Some(0)).then_some(cache)
    });
    timed.await.expect("a sample of the lookups is timed")
}

/// Reads a page of operations; it counts as a request of the script.
async fn read(script: &mut Script, path: &str) -> Value {
    script.get(path, path, 200).await.json().await.expect("JSON")
}

/// All requests that count for the verdict: no probes, no refusals of unknown clients, no uploads.
fn judged(script: &Script) -> u64 {
    let probes = ["/livez", "/readyz", "/startupz", "/health", "/metrics", "__unmatched__", "/api/schedules/import"];
    let answers = script.answers.iter().filter(|((_, route), _)| !probes.contains(&route.as_str()));
    answers.map(|(_, classes)| answered(classes)).sum()
}

/// The item of a list whose `key` says `name`.
fn named<'a>(items: &'a Value, key: &str, name: &str) -> &'a Value {
    let items = items.as_array().expect("a list");
    items.iter().find(|item| item[key] == name).expect("an item of that name")
}

fn class(name: &str, ttl_seconds: u32, lookups: Lookups) -> Value {
    let is_hit_rate_low = rate(lookups) < 0.8 && lookups.hits + lookups.misses >= 100;
    json!({
        "class": name, "ttl_seconds": ttl_seconds,
        "hits": lookups.hits, "stale_hits": 0, "misses": lookups.misses, "shared_hits": 0, "hit_rate": rate(lookups),
        "loads": lookups.misses, "load_failures": 0, "queued_loads": 0, "refused_loads": 0, "timeouts": 0,
        "collapsed": 0, "invalidations": lookups.invalidations, "type_mismatches": 0,
        "is_hit_rate_low": is_hit_rate_low,
    })
}

fn rate(lookups: Lookups) -> f64 {
    float(lookups.hits) / float(lookups.hits + lookups.misses)
}

fn stats(did: &Decisions) -> Value {
    json!({
        "allowed": did.allowed, "denied": did.denied, "failed": 0, "alone": 0, "tracked_keys": did.keys,
        "blocked_keys": 0, "evicted_live": 0, "top_denied": did.top_denied,
    })
}

/// Answers by endpoint and class, as in `/api/performance`, without endpoints that have none.
fn counted(endpoints: &Value) -> BTreeMap<(String, String), BTreeMap<String, u64>> {
    let mut counted = BTreeMap::new();
    for endpoint in endpoints.as_array().expect("a list") {
        let text = |name: &str| endpoint[name].as_str().expect("text").to_owned();
        let classes = endpoint["classes"].as_object().expect("classes").iter();
        let classes = classes.map(|(class, count)| (class.clone(), count.as_u64().expect("a count")));
        let refused = ("refused".to_owned(), endpoint["refused"].as_u64().expect("a count"));
        let classes: BTreeMap<_, _> = classes.chain([refused]).filter(|(_, count)| *count > 0).collect();
        assert_eq!(endpoint["count"].as_u64(), Some(answered(&classes)), "{endpoint}");
        if !classes.is_empty() {
            counted.insert((text("method"), text("route")), classes);
        }
    }
    counted
}
