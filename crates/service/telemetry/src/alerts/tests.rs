//! Tests of the alerts of one process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_base::clock::unix_ms;
use tidegate_perfmon::{
    CallOutcome, Dialect, HealthConfig, HealthMonitor, HealthReport, Queries, QueryConfig, Reading, Registry, Seen,
    Silence, TraceContext,
};
use tidegate_settings::AlertSettings;

use super::*;
use crate::latest::LatestReport;
use crate::sources::{Section, Tick};

/// A dispatcher and its inputs, second by second.
struct Ground {
    dispatcher: Arc<AlertDispatcher>,
    registry: Registry,
    monitor: HealthMonitor,
    latest: Arc<LatestReport>,
    second: u64,
}

impl Ground {
    fn new() -> Self {
        let config = HealthConfig::default();
        let registry = Registry::builder().build();
        let latest = Arc::new(LatestReport::new(&registry));
        let told = Arc::clone(&latest);
        let dispatcher = AlertDispatcher::new(&AlertSettings::default(), &registry, told);
        Self { dispatcher, registry, monitor: HealthMonitor::new(&config), latest, second: 0 }
    }

    /// Lets this number of seconds pass. The job store is unreachable if `is_away`.
    fn pass(&mut self, seconds: u64, is_away: bool) {
        for _ in 0..seconds {
            let reading = Reading::new("job_store_unreachable", if is_away { 1.0 } else { 0.0 }, 0.5).critical();
            let reading = reading.detail("login of ada@example.org with token=hunter2 failed");
            let health: HealthReport = self.monitor.evaluate([reading]);
            let now = Duration::from_secs(self.second);
            self.latest.set(health.clone());
            self.dispatcher.tick(&Tick { now, unix_ms: unix_ms(), registry: &self.registry, health: &health });
            self.second += 1;
        }
    }
}

/// Returns the events that a follower has received so far.
async fn heard(follower: &mut Follower) -> Vec<(&'static str, Option<Arc<str>>, Value)> {
    let mut all = Vec::new();
    while let Ok(Some(told)) = tokio::time::timeout(Duration::from_millis(1), follower.next()).await {
        all.push((told.name, told.id, serde_json::from_str(&told.data).unwrap()));
    }
    all
}

fn rule_and_phase(data: &Value) -> (&str, &str) {
    (data["alert"]["rule"].as_str().unwrap(), data["alert"]["phase"].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_alert_resumes_by_its_event_id() {
    let mut ground = Ground::new();
    ground.pass(3, false);
    let mut live = ground.dispatcher.follow("", &[Topic::Alerts], None).unwrap();
    ground.pass(10, true);
    let first = heard(&mut live).await;
    let told: Vec<_> = first.iter().map(|(name, _, data)| (*name, rule_and_phase(data))).collect();
    assert_eq!(told, [("alert", ("health", "firing")), ("alert", ("job_store_unreachable", "firing"))], "{first:?}");

    ground.pass(200, false);
    let rest = heard(&mut live).await;
    assert_eq!(rest.len(), 2, "both ends: {rest:?}");
    for (from, expected) in [(&first[0].1, 3), (&first[1].1, 2), (&rest[1].1, 0)] {
        let mut again = ground.dispatcher.follow("", &[Topic::Alerts], from.as_deref()).unwrap();
        let told = heard(&mut again).await;
        assert_eq!(told.len(), expected, "{told:?}");
        let all: Vec<_> = first.iter().chain(&rest).cloned().collect();
        assert_eq!(told, all[all.len() - expected..]);
    }
    for foreign in ["1-1", "nonsense", ""] {
        let mut again = ground.dispatcher.follow("", &[Topic::Alerts], Some(foreign)).unwrap();
        let told = heard(&mut again).await;
        assert_eq!(told.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), ["gap"], "{foreign}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silenced_alert_is_not_sent_until_its_silence_ends() {
    let mut ground = Ground::new();
    for rule in ["job_store_unreachable", "health"] {
        let until_unix_ms = unix_ms() + 3_600_000;
        let reason = "ada@example.org moves the store".to_owned();
        ground
            .dispatcher
            .silence(Silence { rule: rule.to_owned(), subject: None, until_unix_ms, reason })
            .await
            .unwrap();
    }
    let mut live = ground.dispatcher.follow("", &[Topic::Alerts], None).unwrap();
    ground.pass(3, false);
    ground.pass(20, true);
    assert!(heard(&mut live).await.is_empty());
    let shown = ground.dispatcher.json(10);
    assert_eq!((&shown["items"][0]["phase"], &shown["items"][0]["silenced"]), (&json!("firing"), &json!(true)));
    assert_eq!(shown["silences"].as_array().map(Vec::len), Some(2), "{shown}");

    assert!(ground.dispatcher.lift_silence("job_store_unreachable", None).await.unwrap());
    ground.pass(1, true);
    let told = heard(&mut live).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(rule_and_phase(&told[0].2), ("job_store_unreachable", "firing"));
    assert!(!ground.dispatcher.lift_silence("job_store_unreachable", None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn everything_shown_of_an_alert_is_masked() {
    let mut ground = Ground::new();
    let until_unix_ms = unix_ms() + 60_000;
    let reason = "as ada@example.org asked, password=hunter2".to_owned();
    ground.dispatcher.silence(Silence { rule: "p99".to_owned(), subject: None, until_unix_ms, reason }).await.unwrap();
    let mut live = ground.dispatcher.follow("", &Topic::ALL, None).unwrap();
    ground.pass(3, false);
    ground.pass(20, true);
    let told = heard(&mut live).await;
    assert!(told.iter().any(|(name, ..)| *name == "alert") && told.iter().any(|(name, ..)| *name == "health"));
    let all = format!("{told:?}{}{:?}", ground.dispatcher.json(100), ground.dispatcher.table(100));
    assert!(all.contains("login of ****"), "{all}");
    assert!(!all.contains("hunter2") && !all.contains("ada@"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn an_alert_names_a_trace_that_shows_it() {
    let mut ground = Ground::new();
    let endpoint = ground.registry.endpoint("GET", "/");
    let trace = TraceContext::new(0x4bf9, 7, true);
    ground.registry.finished_in(&endpoint, CallOutcome::Status(500), Duration::from_millis(1), None, trace);
    for second in 0..10 {
        let health = ground.monitor.evaluate([Reading::new("error_rate", 1.0, 0.05).critical()]);
        let now = Duration::from_secs(second);
        ground.dispatcher.tick(&Tick { now, unix_ms: unix_ms(), registry: &ground.registry, health: &health });
    }
    let told = ground.dispatcher.json(10);
    let of = |rule: &str| {
        let items = told["items"].as_array().unwrap();
        items.iter().find(|item| item["rule"] == rule).expect("it fires")["trace_id"].clone()
    };
    assert_eq!(of("error_rate"), "00000000000000000000000000004bf9");
    assert_eq!(of("health"), Value::Null, "of the whole there is no one trace");
}

#[tokio::test(start_paused = true)]
async fn an_alert_about_a_route_names_a_trace_of_that_route() {
    let mut ground = Ground::new();
    let long = ground.registry.endpoint("GET", "/orders/{id}/lines");
    for (route, trace) in [("/orders/{id}", 0xaaaa), ("/orders", 0xbbbb)] {
        let endpoint = ground.registry.endpoint("GET", route);
        let trace = TraceContext::new(trace, 7, true);
        ground.registry.finished_in(&endpoint, CallOutcome::Status(500), Duration::from_secs(9), None, trace);
    }
    ground.registry.finished_in(
        &long,
        CallOutcome::Status(500),
        Duration::from_secs(9),
        None,
        TraceContext::new(0xcccc, 7, true),
    );
    for second in 0..120 {
        let failing = Reading::new("failing_api", 1.0, 0.05).subject("error rate of GET /orders/{id} within 11 s");
        let slow = Reading::new("slow_api", 9.0, 1.0).subject("P95 of GET /orders");
        let none = Reading::new("slow_query", 9.0, 1.0).subject("P95 of GET /orders");
        let health = ground.monitor.evaluate([failing, slow, none]);
        let now = Duration::from_secs(second);
        ground.dispatcher.tick(&Tick { now, unix_ms: unix_ms(), registry: &ground.registry, health: &health });
    }
    let told = ground.dispatcher.json(10);
    let trace = |rule: &str| {
        let items = told["items"].as_array().unwrap();
        items.iter().find(|item| item["rule"] == rule).expect("it fires")["trace_id"].clone()
    };
    assert_eq!(trace("failing_api"), format!("{:032x}", 0xaaaa));
    assert_eq!(trace("slow_api"), format!("{:032x}", 0xbbbb));
    assert!(trace("slow_query").is_null());
}

#[tokio::test(start_paused = true)]
async fn alerts_about_statements_and_about_clients_that_left_name_a_trace_too() {
    let mut ground = Ground::new();
    let queries = Queries::new(QueryConfig::default());
    let endpoint = ground.registry.endpoint("GET", "/");
    let given_up = TraceContext::new(0xabcd, 7, true);
    ground.registry.finished_in(&endpoint, CallOutcome::Status(200), Duration::from_secs(9), None, None);
    ground.registry.finished_in(&endpoint, CallOutcome::Aborted, Duration::from_secs(8), None, given_up);
    queries.record(&Seen {
        sql: "SELECT 1",
        dialect: Dialect::Sqlite,
        elapsed: Duration::from_secs(3),
        rows: 1,
        at_unix_ms: unix_ms(),
        within: None,
        trace: TraceContext::new(0x4bf9, 7, true),
    });
    ground.dispatcher.look_into(queries);
    let rules = ["slow_statements", "aborted"];
    for second in 0..60 {
        let health = ground.monitor.evaluate(rules.map(|rule| Reading::new(rule, 1.0, 0.05)));
        let now = Duration::from_secs(second);
        ground.dispatcher.tick(&Tick { now, unix_ms: unix_ms(), registry: &ground.registry, health: &health });
    }
    let told = ground.dispatcher.json(10);
    for rule in rules {
        let expected = if rule == "aborted" { 0xabcd } else { 0x4bf9 };
        let items = told["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["rule"] == rule).expect("it fires");
        assert_eq!(item["trace_id"], format!("{expected:032x}"), "{rule}");
    }
}
