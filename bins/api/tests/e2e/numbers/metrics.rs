//! What `/metrics` has to say of a script.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exposition::{Buckets, Exposition, Labels, labels};
use super::script::{Decisions, Lookups, Script};

pub(super) fn assert_requests(metrics: &Exposition, script: &Script) {
    let (mut answers, mut refused) = (BTreeMap::new(), BTreeMap::new());
    // The scrape itself is known, and not counted before it has ended.
    let mut durations = BTreeMap::from([(labels([("method", "GET"), ("route", "/metrics")]), 0)]);
    for ((method, route), classes) in &script.answers {
        let endpoint = [("method", method.as_str()), ("route", route.as_str())];
        for (class, count) in classes {
            if class == "refused" {
                refused.insert(labels(endpoint), *count);
            } else {
                answers.insert(labels([("method", method), ("route", route), ("status", class)]), *count);
            }
        }
        durations.insert(labels(endpoint), answered(classes));
    }
    assert_eq!(metrics.all("tidegate_http_requests_total"), floats(answers));
    assert!(metrics.all("tidegate_http_requests_aborted_total").is_empty());
    let turned_away: u64 = refused.values().sum();
    assert_eq!(metrics.all("tidegate_http_requests_refused_total"), floats(refused));
    let refusals = metrics.histograms("tidegate_http_refusal_seconds");
    assert_eq!(refusals.into_values().map(|times| times.count).collect::<Vec<_>>(), [float(turned_away)]);

    let found = metrics.histograms("tidegate_http_request_duration_seconds");
    found.values().for_each(Buckets::assert_consistent);
    let counts: BTreeMap<_, _> = found.into_iter().map(|(labels, buckets)| (labels, buckets.count)).collect();
    assert_eq!(counts, floats(durations.clone()));

    // Of each of them it is known when it came in, and only the scrape itself is under way.
    let waits = metrics.histograms("tidegate_http_wait_seconds");
    let all: u64 = durations.values().sum::<u64>() + turned_away;
    assert_eq!(waits.into_values().map(|wait| wait.count).collect::<Vec<_>>(), [float(all + 1)]);
    let under_way = durations.into_keys().map(|endpoint| {
        let is_scrape = endpoint == labels([("method", "GET"), ("route", "/metrics")]);
        (endpoint, u64::from(is_scrape))
    });
    assert_eq!(metrics.all("tidegate_http_in_flight"), floats(under_way.collect()));
}

pub(super) fn assert_cache(metrics: &Exposition, script: &Script, cache: &Value) {
    let by_class = |of: fn(&Lookups) -> u64| {
        floats(BTreeMap::from([
            (labels([("class", "tenant")]), of(&script.tenants)),
            (labels([("class", "schedule")]), of(&script.schedules)),
            (labels([("class", "session")]), 0),
            (labels([("class", "preferences")]), 0),
        ]))
    };
    assert_eq!(metrics.all("cache_hits_total"), by_class(|lookups| lookups.hits));
    assert_eq!(metrics.all("cache_misses_total"), by_class(|lookups| lookups.misses));
    let tier = labels([("tier", "l1")]);
    assert_eq!(metrics.all("tidegate_cache_entries"), floats(BTreeMap::from([(tier.clone(), script.entries)])));
    let latency = metrics.histograms("cache_response_seconds");
    latency[&tier].assert_consistent();
    // The page's figures end at the last second. Later lookups are already counted here.
    let samples = cache["tiers"][0]["latency_us"]["samples"].as_u64().map(float).expect("a number");
    assert!((1.0..=latency[&tier].count).contains(&samples), "{samples} of {}", latency[&tier].count);
    let operation = labels([("kind", "cache"), ("operation", "l1")]);
    assert_eq!(metrics.histograms("tidegate_operation_duration_seconds")[&operation].count, latency[&tier].count);
}

pub(super) fn assert_limiters(metrics: &Exposition, script: &Script) {
    let (mut decisions, mut tracked, mut blocked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let nothing = Decisions::default();
    let limiters = [("ddos", &script.ddos), ("api", &script.client), ("tenant", &script.quota)];
    for (limiter, did) in limiters.into_iter().chain([("auth", &nothing), ("report", &nothing)]) {
        decisions.insert(labels([("limiter", limiter), ("decision", "allowed")]), did.allowed);
        decisions.insert(labels([("limiter", limiter), ("decision", "denied")]), did.denied);
        decisions.insert(labels([("limiter", limiter), ("decision", "failed")]), 0);
        tracked.insert(labels([("limiter", limiter)]), did.keys);
        blocked.insert(labels([("limiter", limiter)]), 0);
    }
    assert_eq!(metrics.all("tidegate_ratelimit_decisions_total"), floats(decisions));
    assert_eq!(metrics.all("tidegate_ratelimit_tracked_keys"), floats(tracked));
    assert_eq!(metrics.all("tidegate_ratelimit_blocked_keys"), floats(blocked.clone()));
    assert_eq!(metrics.all("tidegate_ratelimit_evicted_live_total"), floats(blocked), "none of either");
}

pub(super) fn assert_queue(metrics: &Exposition, script: &Script) {
    let by = |label: &'static str, values: &[(&'static str, &'static str)]| {
        let value = |(shown, name): &(&'static str, &'static str)| {
            (labels([("queue", "import"), (label, shown)]), script.queue[name])
        };
        floats(values.iter().map(value).collect())
    };
    let states = ["ready", "delayed", "waiting", "leased", "done", "dead", "cancelled"].map(|state| (state, state));
    // Others are there too, and nothing of this script's.
    let imports = |family: &str| {
        let mut all = metrics.all(family);
        all.retain(|labels, _| labels.get("queue").is_some_and(|queue| queue == "import"));
        all
    };
    assert_eq!(imports("tidegate_queue_jobs"), by("state", &states));
    let outcomes = [
        ("completed", "completed_total"),
        ("failed", "failed_total"),
        ("retried", "retried_total"),
        ("reclaimed", "reclaimed_total"),
        ("stale_ack", "stale_acks_total"),
    ];
    assert_eq!(imports("tidegate_jobs_total"), by("outcome", &outcomes));
    let queue = || labels([("queue", "import")]);
    for (gauge, value) in [
        ("tidegate_queue_length", 0),
        ("tidegate_queue_paused", 0),
        ("tidegate_queue_oldest_job_seconds", 0),
        ("tidegate_queue_workers", 1),
        ("tidegate_queue_recovered_total", 0),
        ("tidegate_queue_dropped_total", 0),
        ("tidegate_job_leases_lost_total", 0),
        ("tidegate_job_reclaims_total", 0),
        ("tidegate_job_stale_acks_total", 0),
    ] {
        assert_eq!(imports(gauge), floats(BTreeMap::from([(queue(), value)])), "{gauge}");
    }
    let times = ["tidegate_job_wait_seconds", "tidegate_job_run_seconds"].map(|family| metrics.histograms(family));
    for buckets in times.iter().flat_map(BTreeMap::values) {
        buckets.assert_consistent();
    }
}

/// Returns the responses of an endpoint that were not refusals.
pub(super) fn answered(classes: &BTreeMap<String, u64>) -> u64 {
    classes.iter().filter(|(class, _)| *class != "refused").map(|(_, count)| count).sum()
}

pub(super) fn floats(counts: BTreeMap<Labels, u64>) -> BTreeMap<Labels, f64> {
    counts.into_iter().map(|(labels, count)| (labels, float(count))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a test counts to some hundreds")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
