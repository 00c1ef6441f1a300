//! When an alert fires and ends.

use tidegate_perfmon::{AlertRule, HealthConfig, HealthMonitor, Phase, Reading};

use crate::support::{alerts, at, phases, rule, seen};

#[test]
fn a_pending_alert_that_clears_never_fires() {
    let mut alerts = alerts([rule(10, 0, 60)]);
    assert_eq!(phases(&at(&mut alerts, 0, &[seen(Some(true))])), [(None, Phase::Pending, false)]);
    assert_eq!(at(&mut alerts, 9, &[seen(Some(true))]), []);
    let cleared = at(&mut alerts, 10, &[seen(Some(false))]);
    assert_eq!(phases(&cleared), [(Some(Phase::Pending), Phase::Withdrawn, false)]);
    assert_eq!(alerts.list(10), [], "and is not remembered as an alert");
    // The next breach begins anew.
    at(&mut alerts, 11, &[seen(Some(true))]);
    assert_eq!(at(&mut alerts, 20, &[seen(Some(true))]), []);
    assert_eq!(phases(&at(&mut alerts, 21, &[seen(Some(true))])), [(Some(Phase::Pending), Phase::Firing, true)]);
    assert_eq!(alerts.list(10)[0].id, 2);
}

#[test]
fn unknown_neither_fires_nor_resolves_and_ends_as_expired() {
    let mut alerts = alerts([rule(10, 0, 60)]);
    at(&mut alerts, 0, &[seen(Some(true))]);
    at(&mut alerts, 5, &[seen(None)]);
    assert_eq!(at(&mut alerts, 40, &[]), [], "not observed is unknown");
    assert_eq!(at(&mut alerts, 50, &[seen(Some(true))]), [], "what was unknown is no evidence");
    assert_eq!(phases(&at(&mut alerts, 60, &[seen(Some(true))])), [(Some(Phase::Pending), Phase::Firing, true)]);
    assert_eq!(at(&mut alerts, 119, &[]), []);
    assert_eq!(phases(&at(&mut alerts, 120, &[])), [(Some(Phase::Firing), Phase::Expired, true)]);
    let ended = &alerts.list(10)[0];
    assert_eq!((ended.known_at_unix_ms, ended.ended_at_unix_ms), (60_000, Some(120_000)));
}

#[test]
fn a_process_that_slept_has_not_seen_an_hour_of_breach() {
    let mut alerts = alerts([rule(600, 0, 3600)]);
    at(&mut alerts, 0, &[seen(Some(true))]);
    assert_eq!(at(&mut alerts, 3600, &[seen(Some(true))]), []);
    assert_eq!(at(&mut alerts, 10, &[seen(Some(true))]), [], "nor one whose clock went back");
}

#[test]
fn one_alert_however_often_it_is_observed() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let all = [seen(None), seen(Some(false)), seen(Some(true)), seen(Some(true)), seen(Some(false))];
    assert_eq!(at(&mut alerts, 0, &all).len(), 2, "pending and firing, once");
    for second in 1..100 {
        assert_eq!(at(&mut alerts, second, &all), []);
    }
    assert_eq!(alerts.list(10).len(), 1);
    assert_eq!(at(&mut alerts, 100, &[seen(None), seen(Some(false))]).len(), 1);
}

#[test]
fn a_breach_in_the_health_report_becomes_an_alert() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut alerts = alerts(AlertRule::standard());
    let mut second = |now: u64, errors: f64, samples| {
        let report = monitor.evaluate([
            Reading::new("error_rate", errors, 0.05).critical().samples(samples).detail("of all"),
            Reading::new("redis_unavailable", 0.0, 0.5),
        ]);
        at(&mut alerts, now, &report.observations())
    };
    assert_eq!(second(0, 0.0, 100), []);
    assert_eq!(second(1, 0.0, 3), [], "unknown is no breach");
    let pending = second(2, 0.06, 100);
    assert_eq!(pending.iter().map(|step| &*step.alert.rule).collect::<Vec<_>>(), ["error_rate"]);
    assert_eq!(second(6, 0.06, 100), []);
    let fired = second(7, 0.2, 100);
    let fired: Vec<_> = fired.iter().filter(|step| step.notify).collect();
    assert_eq!((&*fired[0].alert.rule, fired.len()), ("error_rate", 1));
    assert!(fired[0].alert.detail.contains("error_rate is 0.2, above 0.05 (of all)"), "{}", fired[0].alert.detail);
    let whole: Vec<_> = [8, 11, 12].into_iter().flat_map(|now| second(now, 0.2, 100)).collect();
    assert_eq!(phases(&whole), [(Some(Phase::Pending), Phase::Firing, true)], "health itself, unhealthy for 5 s");
    assert_eq!(alerts.unruled(), 8, "of redis_unavailable, which has no rule");
}

#[test]
fn a_reading_that_hovers_at_its_threshold_makes_one_alert() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut alerts = alerts(AlertRule::standard());
    let mut notified = 0;
    for second in 0..3600 {
        let value = if second % 3 == 0 { 0.051 } else { 0.049 };
        let report = monitor.evaluate([Reading::new("error_rate", value, 0.05)]);
        notified += at(&mut alerts, second, &report.observations()).iter().filter(|step| step.notify).count();
    }
    assert_eq!(notified, 1);
}
