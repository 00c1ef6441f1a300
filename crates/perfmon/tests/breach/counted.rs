//! Which requests and which limits count.

use std::time::Duration;

use tidegate_perfmon::{
    CallOutcome, Endpoint, Health, HealthConfig, HealthConfigError, HealthMonitor, ManualClock, Reading, Registry,
    StatusClass, Window,
};

use crate::support::{Load, MS, Service};

/// Refusals are neither good nor bad: thousands of 401, 403 and 429 beside an outage, and alone.
#[test]
fn refusals_neither_hide_an_outage_nor_are_one() {
    let mut service = Service::new();
    let other = service.registry.endpoint("GET", "/other");
    let turn_away = |registry: &Registry, endpoint: &Endpoint, times| {
        for at in 0..times {
            let status = [401, 403, 429][at % 3];
            registry.finished(endpoint, CallOutcome::Status(status), MS, None);
        }
    };
    for _ in 0..60 {
        turn_away(&service.registry, &other, 1_000);
        turn_away(&service.registry, &service.endpoint, 1_000);
        service.load(1, Load::Good);
        service.tick();
    }
    assert_eq!(service.judge().status, Health::Healthy);
    assert_eq!((service.registry.outcomes().total, service.registry.outcomes().bad), (60, 0));
    for second in 0..24 {
        turn_away(&service.registry, &other, 1_000);
        turn_away(&service.registry, &service.endpoint, 1_000);
        let state = service.second(1, Load::Errors);
        assert!(second < 11 || state == Health::Unhealthy, "second {second}");
    }
    let report = service.judge();
    let error_rate = report.components.iter().find(|component| component.name == "error_rate").expect("it");
    assert_eq!(
        (error_rate.state, error_rate.samples),
        (Health::Unhealthy, Some(11)),
        "the last eleven seconds: {report:?}"
    );
    assert_eq!((service.registry.outcomes().total, service.registry.outcomes().bad), (84, 24));

    // They are counted, and none of them is lost.
    let all = service.registry.overall(Window::Minutes(5));
    assert_eq!((all.count, all.errors, all.refused), (84, 24, 168_000));
    let endpoint = &service.registry.endpoints(Window::Minutes(5))[0];
    assert_eq!((endpoint.count, endpoint.classes.client_error, endpoint.refused), (84, 0, 84_000));
    assert_eq!(service.registry.totals()[1].refused, 84_000);
    let took = service.registry.http_refusal_totals();
    assert_eq!((took.count, service.registry.http_refusals(Window::Minutes(5)).count()), (168_000, 168_000));
    // What the handler says itself counts.
    service.registry.finished(&other, CallOutcome::Status(404), MS, None);
    assert_eq!(service.registry.outcomes().total, 85);
}

/// One name, one figure.
#[test]
fn all_together_are_those_that_health_is_judged_by() {
    let registry = Registry::builder().clock(ManualClock::new()).unjudged(["/livez"]).build();
    let users = registry.endpoint("GET", "/users");
    for _ in 0..24 {
        users.record(StatusClass::ServerError, 20 * MS);
    }
    for _ in 0..1_000 {
        registry.endpoint("GET", "/livez").record(StatusClass::Success, MS);
    }
    registry.tick(Duration::from_secs(1));
    let all = registry.overall(Window::Minutes(5));
    let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
    let error_rate = report.components.iter().find(|component| component.name == "error_rate").expect("it");
    assert_eq!((Some(all.error_rate), Some(all.count)), (error_rate.observed, error_rate.samples));
    assert_eq!((all.error_rate, all.count, registry.outcomes().total), (1.0, 24, 24));
    assert!(all.latency.p99 >= Some(20 * MS));
}

#[test]
fn a_reading_that_is_too_old_is_unknown() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut at = |age| monitor.evaluate([Reading::new("store", 0.0, 0.5).taken_ago(Duration::from_secs(age))]);
    assert_eq!(at(15).status, Health::Healthy);
    let report = at(16);
    assert_eq!(report.components[0].state, Health::Unknown);
    assert_eq!(report.reasons[0].message, "store is unknown: it was read 16 s ago, which is longer than 15 s");
}

#[test]
fn the_pool_and_the_cache_at_their_limits() {
    let config = HealthConfig::default();
    let state = |reading| HealthMonitor::new(&HealthConfig::default()).evaluate([reading]).components[0].state;
    assert_eq!(state(config.pool("writer", 80, 100)), Health::Healthy);
    assert_eq!(state(config.pool("writer", 81, 100)), Health::Degraded);
    for hundreds in 1..200 {
        let lookups = hundreds * 100;
        assert_eq!(state(config.cache_hits(hundreds * 80, lookups)), Health::Healthy, "{lookups}");
        assert_eq!(state(config.cache_hits(hundreds * 80 - 1, lookups)), Health::Degraded, "{lookups}");
    }
    assert_eq!(state(config.cache_hits(0, 19)), Health::Unknown);
    assert_eq!(state(config.cache_hits(9, 3)), Health::Unknown, "more hits than lookups are no rate of few samples");
}

#[test]
fn invalid_limits_are_named() {
    let ok = HealthConfig::default();
    assert_eq!(ok.check(), Ok(()));
    let zero = Duration::ZERO;
    for (config, setting) in [
        (HealthConfig { error_rate: 0.0, ..ok.clone() }, "error_rate"),
        (HealthConfig { error_rate: f64::NAN, ..ok.clone() }, "error_rate"),
        (HealthConfig { error_rate: 5.0, ..ok.clone() }, "error_rate"),
        (HealthConfig { hit_rate: 1.0, ..ok.clone() }, "hit_rate"),
        (HealthConfig { p99: zero, ..ok.clone() }, "p99"),
        (HealthConfig { slow_api: Duration::MAX, ..ok.clone() }, "slow_api"),
        (HealthConfig { slow_query: Duration::from_secs(138), ..ok.clone() }, "slow_query"),
        (HealthConfig { min_samples: 0, ..ok.clone() }, "min_samples"),
        (HealthConfig { pool_wait: zero, ..ok.clone() }, "pool_wait"),
        (HealthConfig { pool_stuck: Duration::MAX, ..ok.clone() }, "pool_stuck"),
        (HealthConfig { pool_in_use: 0.0, ..ok.clone() }, "pool_in_use"),
        (HealthConfig { pool_in_use: 1.0, ..ok.clone() }, "pool_in_use"),
        (HealthConfig { stale_after: zero, ..ok.clone() }, "stale_after"),
        (HealthConfig { recent: vec![Window::Seconds(1); 5], ..ok.clone() }, "recent"),
    ] {
        let error: HealthConfigError = config.check().expect_err(setting);
        assert!(error.to_string().contains(&format!("`{setting}`")), "{error}");
        // A registry takes it all the same, and nothing panics.
        let registry = Registry::builder().clock(ManualClock::new()).health(config).build();
        registry.tick(Duration::from_secs(1));
        HealthMonitor::new(registry.health_config()).evaluate(registry.readings_with(|_| u64::MAX / 2));
    }
}
