//! From records and readings to a report.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{
    Endpoint, Health, HealthConfig, HealthMonitor, HealthReport, Kind, ManualClock, Reading, Registry, StatusClass,
    UNMATCHED,
};

const NS: Duration = Duration::from_nanos(1);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn registry() -> Registry {
    Registry::builder().clock(ManualClock::new()).build()
}

fn record(endpoint: &Endpoint, times: u32, class: StatusClass, latency: Duration) {
    for _ in 0..times {
        endpoint.record(class, latency);
    }
}

/// A first evaluation, which is believed at once.
fn first(registry: &Registry) -> HealthReport {
    registry.tick(registry.now());
    HealthMonitor::new(registry.health_config()).evaluate(registry.readings())
}

fn judge(readings: impl IntoIterator<Item = Reading>) -> HealthReport {
    HealthMonitor::new(&HealthConfig::default()).evaluate(readings)
}

fn state(report: &HealthReport, name: &str) -> Health {
    report.components.iter().find(|component| component.name == name).expect("a component of that name").state
}

#[test]
fn five_percent_errors_pass_and_more_do_not() {
    for (errors, expected) in [(50, Health::Healthy), (51, Health::Degraded), (100, Health::Unhealthy)] {
        let registry = registry();
        let endpoint = registry.endpoint("GET", "/");
        record(&endpoint, errors, StatusClass::ServerError, NS);
        record(&endpoint, 1000 - errors, StatusClass::ClientError, NS);
        assert_eq!(state(&first(&registry), "error_rate"), expected, "{errors}");
    }
}

#[test]
fn p99_is_breached_exactly_when_more_than_one_percent_took_longer() {
    for (slow, latency, breached) in [(10, secs(100), false), (11, secs(5), false), (11, secs(5) + NS, true)] {
        let registry = registry();
        let endpoint = registry.endpoint("GET", "/");
        record(&endpoint, slow, StatusClass::Success, latency);
        record(&endpoint, 1000 - slow, StatusClass::Success, NS);
        let report = first(&registry);
        assert_eq!(state(&report, "p99") != Health::Healthy, breached, "{slow} × {latency:?}");
        assert_eq!(report.status == Health::Healthy, !breached, "{slow} × {latency:?}");
    }
}

#[test]
fn a_slow_endpoint_is_named_and_an_outlier_is_not() {
    let registry = registry();
    record(&registry.endpoint("GET", "/fast"), 1000, StatusClass::Success, NS);
    record(&registry.endpoint("GET", "/rare"), 19, StatusClass::Success, secs(4));
    let outlier = registry.endpoint("GET", "/outlier");
    record(&outlier, 95, StatusClass::Success, NS);
    record(&outlier, 5, StatusClass::Success, secs(3));
    record(&outlier, 900, StatusClass::Success, NS);
    assert_eq!(state(&first(&registry), "slow_api"), Health::Healthy);

    let slow = registry.endpoint("GET", "/slow");
    record(&slow, 94, StatusClass::Success, NS);
    record(&slow, 6, StatusClass::Success, secs(2) + NS);
    let report = first(&registry);
    assert_eq!(state(&report, "slow_api"), Health::Degraded);
    let reason = report.reasons.iter().find(|reason| reason.component == "slow_api").unwrap();
    let message = "P95 of GET /slow is 2.0133 s, above 2 s";
    assert!(reason.message.starts_with(message), "{}", reason.message);
    assert_eq!(reason.threshold, Some(2.0));
}

#[tokio::test]
async fn slow_queries_count_once_there_are_queries() {
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(clock.clone()).build();
    registry.measure(Kind::Api, "call", async { clock.advance(secs(9)) }).await;
    assert!(first(&registry).components.iter().all(|component| component.name != "slow_query"));
    for _ in 0..20 {
        registry.measure(Kind::Database, "list", async { clock.advance(secs(1)) }).await;
    }
    assert_eq!(state(&first(&registry), "slow_query"), Health::Healthy);
    for _ in 0..20 {
        registry.measure(Kind::Database, "list", async { clock.advance(secs(1) + NS) }).await;
    }
    assert_eq!(state(&first(&registry), "slow_query"), Health::Degraded);
}

#[test]
fn custom_limits_are_exact_too() {
    let p99 = Duration::from_nanos(1_234_567_891);
    let config = HealthConfig { p99, ..HealthConfig::default() };
    for (latency, expected) in [(p99, Health::Healthy), (p99 + NS, Health::Degraded)] {
        let registry = Registry::builder().clock(ManualClock::new()).health(config.clone()).build();
        record(&registry.endpoint("GET", "/"), 100, StatusClass::Success, latency);
        assert_eq!(state(&first(&registry), "p99"), expected);
    }
}

#[test]
fn fewer_than_twenty_samples_are_unknown() {
    let registry = registry();
    let endpoint = registry.endpoint("GET", "/");
    assert_eq!(first(&registry).status, Health::Unknown);
    record(&endpoint, 16, StatusClass::Success, NS);
    record(&endpoint, 3, StatusClass::ServerError, NS);
    let report = first(&registry);
    assert_eq!((report.status, report.score), (Health::Unknown, None));
    assert!(
        report.reasons[0].message.contains("there are 19 samples, and 20 are needed"),
        "{}",
        report.reasons[0].message
    );
    record(&endpoint, 3, StatusClass::ServerError, NS);
    assert_eq!(first(&registry).status, Health::Unhealthy);
}

#[test]
fn a_reading_that_failed_is_unknown_with_its_reason() {
    let report = judge([Reading::new("calm", 0.0, 1.0), Reading::unknown("pool_stuck", "it panicked").critical()]);
    assert_eq!((report.status, report.components[1].state), (Health::Unknown, Health::Unknown));
    assert_eq!(report.reasons[0].message, "pool_stuck is unknown (it panicked)");
    assert_eq!(
        serde_json::to_value(&report).unwrap()["checks"]["pool_stuck"][0]["observedValue"],
        serde_json::Value::Null
    );
}

#[test]
fn a_silent_critical_component_is_never_healthy() {
    let calm = Reading::new("pool", 1.0, 80.0);
    let silent = Reading::new("errors", 0.0, 0.05).samples(3);
    let report = judge([calm.clone(), silent.clone().critical()]);
    assert_eq!((report.status, report.score), (Health::Unknown, Some(100)));
    assert_eq!(judge([calm, silent]).status, Health::Healthy);
}

#[test]
fn an_invalid_value_is_unknown_with_a_reason() {
    for (observed, threshold) in
        [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (-0.1, 1.0), (1.0, 0.0), (1.0, -5.0), (1.0, f64::NAN)]
    {
        let report = judge([Reading::new("odd", observed, threshold).weight(f64::NAN)]);
        assert_eq!((report.status, report.score), (Health::Unknown, None));
        assert!(report.reasons[0].message.contains("cannot be compared with a threshold of "));
        serde_json::to_string(&report).unwrap();
    }
    let weights = [f64::NAN, -1.0, 0.0, f64::INFINITY, f64::MAX];
    let report = judge(weights.map(|weight| Reading::new("w", 1.0, 1.0).weight(weight)));
    assert_eq!(report.score, Some(70));
    assert_eq!(judge([]).status, Health::Unknown);
    assert_eq!(judge([]).reasons.len(), 1);
}

#[test]
fn the_body_is_health_json() {
    let report = judge([
        Reading::new("pool_in_use", 96.0, 80.0).unit("connections").detail("primary"),
        Reading::new("error_rate", 0.0, 0.05).critical().samples(400),
    ]);
    assert_eq!(report.status, Health::Degraded);
    let message = "pool_in_use is 96 connections, above 80 connections (primary)";
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "status": "warn", "health": "degraded", "score": 78, "output": message,
            "reasons": [{"component": "pool_in_use", "message": message, "observed": 96.0, "threshold": 80.0}],
            "checks": {
                "error_rate": [{"status": "pass", "score": 100, "observedValue": 0.0, "observedUnit": null,
                    "threshold": 0.05, "samples": 400, "critical": true}],
                "pool_in_use": [{"status": "warn", "score": 56, "observedValue": 96.0, "observedUnit": "connections",
                    "threshold": 80.0, "samples": null, "critical": false}],
            },
        })
    );
}

#[test]
fn a_held_state_has_a_reason() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut observe = |value| monitor.evaluate([Reading::new("load", value, 1.0)]);
    assert_eq!(observe(1.5).status, Health::Unhealthy);
    let held = observe(0.0);
    assert_eq!((held.status, held.score), (Health::Unhealthy, Some(100)));
    assert!(held.reasons[0].message.contains("healthy with 100 points"), "{}", held.reasons[0].message);
    observe(0.0);
    assert_eq!(observe(0.0).status, Health::Healthy);
}

proptest! {
    #[test]
    fn every_report_has_reasons_a_sound_score_and_serializes(
        series in prop::collection::vec(
            prop::collection::vec(
                (any::<f64>(), any::<f64>(), any::<bool>(), prop::option::of(0u64..40), any::<f64>()), 0..6),
            1..20),
    ) {
        let mut monitor = HealthMonitor::new(&HealthConfig::default());
        for readings in series {
            let report = monitor.evaluate(readings.into_iter().map(|(observed, threshold, critical, samples, weight)| {
                let reading = Reading::new("r", observed, threshold).weight(weight);
                let reading = if critical { reading.critical() } else { reading };
                samples.into_iter().fold(reading, Reading::samples)
            }));
            prop_assert!(!report.reasons.is_empty());
            prop_assert!(report.score.is_none_or(|score| score <= 100));
            let breached = report.components.iter().any(|component| {
                component.state == Health::Degraded || component.state == Health::Unhealthy
            });
            prop_assert!(!breached || matches!(report.status, Health::Degraded | Health::Unhealthy));
            let body = serde_json::to_value(&report).unwrap();
            prop_assert_eq!(&body["status"], report.status.check_status());
        }
    }

    #[test]
    fn noise_at_a_threshold_does_not_flap(noise in prop::collection::vec(0.95f64..1.05, 10..200)) {
        let mut monitor = HealthMonitor::new(&HealthConfig::default());
        let states: Vec<_> =
            noise.iter().map(|&value| monitor.evaluate([Reading::new("load", value, 1.0)]).status).collect();
        prop_assert!(changes(&states) <= 1, "{:?}", states);
    }

    /// The calm ones keep the score above every limit, so only the breach itself decides.
    #[test]
    fn a_reading_at_its_threshold_beside_calm_ones_changes_the_state_once_at_most(
        noise in prop::collection::vec(0.9f64..1.1, 10..400),
        calm in 1usize..8,
        critical in any::<bool>(),
    ) {
        let mut monitor = HealthMonitor::new(&HealthConfig::default());
        let states: Vec<_> = noise.iter().map(|&value| {
            let noisy = Reading::new("noisy", value, 1.0);
            let noisy = if critical { noisy.critical() } else { noisy };
            let calm = (0..calm).map(|_| Reading::new("calm", 0.0, 1.0));
            monitor.evaluate(calm.chain([noisy])).status
        }).collect();
        prop_assert!(changes(&states) <= 1, "{:?}", states);
    }

    /// A reading that is known only now and then does not change the state each time.
    #[test]
    fn samples_at_the_least_number_change_the_state_once_at_most(samples in prop::collection::vec(15u64..25, 10..400)) {
        let mut monitor = HealthMonitor::new(&HealthConfig::default());
        let mut states = vec![Health::Healthy];
        for samples in samples {
            let noisy = Reading::new("noisy", 1.2, 1.0).samples(samples);
            let calm = ["a", "b", "c"].map(|name| Reading::new(name, 0.0, 1.0));
            states.push(monitor.evaluate(calm.into_iter().chain([noisy])).status);
        }
        prop_assert!(changes(&states) <= 1, "{:?}", states);
    }
}

fn changes(states: &[Health]) -> usize {
    states.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_breach_is_over_when_its_reading_has_gone_down_and_not_before() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    // Always at nine tenths of its threshold, so it does not keep the state degraded.
    let mut observe = |value| {
        let near = Reading::new("near", 0.9, 1.0);
        let calm = ["a", "b", "c"].map(|name| Reading::new(name, 0.0, 1.0));
        monitor.evaluate(calm.into_iter().chain([near, Reading::new("moving", value, 1.0)]))
    };
    assert_eq!(observe(0.9).status, Health::Healthy);
    assert_eq!(observe(1.01).status, Health::Degraded);
    for _ in 0..10 {
        let held = observe(0.9);
        assert_eq!(held.status, Health::Degraded);
        let said =
            held.reasons.iter().any(|reason| reason.message.contains("moving is not clear of its threshold yet"));
        assert!(said, "{:?}", held.reasons);
    }
    assert_eq!(
        [observe(0.8), observe(0.8), observe(0.8)].map(|report| report.status),
        [Health::Degraded, Health::Degraded, Health::Healthy]
    );
}

#[test]
fn a_breach_whose_reading_becomes_unknown_ends_after_a_minute() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut observe = |samples| {
        let quiet = Reading::new("quiet", 1.2, 1.0).samples(samples);
        monitor.evaluate(["a", "b", "c"].map(|name| Reading::new(name, 0.0, 1.0)).into_iter().chain([quiet])).status
    };
    assert_eq!(observe(20), Health::Degraded);
    let held = std::iter::repeat_with(|| observe(0)).take(200).take_while(|state| *state == Health::Degraded).count();
    assert!((60..=63).contains(&held), "{held}");
    assert_eq!(observe(0), Health::Healthy);
}

/// Health probes must not affect health: neither improve it, nor make it worse by their responses.
#[test]
fn probes_neither_hide_an_outage_nor_keep_one_alive() {
    let mut now = Duration::ZERO;
    let registry = Registry::builder().clock(ManualClock::new()).unjudged([UNMATCHED]).build();
    registry.leave_unjudged("/health");
    let (health, unmatched) = (registry.endpoint("GET", "/health"), registry.unmatched("GET"));
    let users = registry.endpoint("GET", "/users");
    let error_rate = |registry: &Registry| {
        let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
        let component = report.components.iter().find(|component| component.name == "error_rate").unwrap().clone();
        (component.observed, component.samples, component.state)
    };
    for _ in 0..10_000 {
        health.record(StatusClass::Success, Duration::from_millis(1));
        unmatched.record(StatusClass::ClientError, Duration::from_secs(100));
    }
    for _ in 0..30 {
        users.record(StatusClass::ServerError, Duration::from_millis(1));
    }
    now += Duration::from_secs(1);
    registry.tick(now);
    assert_eq!(error_rate(&registry), (Some(1.0), Some(30), Health::Unhealthy), "all that was asked for failed");
    assert_eq!((registry.outcomes().total, registry.outcomes().bad), (30, 30));
    let slow = registry.readings();
    let report = HealthMonitor::new(registry.health_config()).evaluate(slow);
    let p99 = report.components.iter().find(|component| component.name == "p99").unwrap();
    assert_eq!(p99.state, Health::Healthy, "a slow unauthenticated client does not count: {p99:?}");

    // Six minutes in which nothing but 503 of the probe itself is answered.
    for _ in 0..360 {
        now += Duration::from_secs(1);
        health.record(StatusClass::ServerError, Duration::from_millis(1));
        registry.tick(now);
    }
    assert_eq!(error_rate(&registry).2, Health::Unknown, "nothing is known, and nothing held against it");
    assert_eq!(registry.outcomes().total, 30);
    assert_eq!(registry.totals().iter().map(|totals| totals.latency.count).sum::<u64>(), 20_390, "all is shown");
}
