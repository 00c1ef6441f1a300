//! Rules as data, alerts as JSON, and lists.

use std::time::Duration;

use serde_json::json;
use tidegate_perfmon::{AlertRule, AlertRuleError, Alerts, Observation, Phase, Severity, TraceContext};

use crate::support::{alerts, at, rule, secs, seen};

#[test]
fn rules_are_data_and_checked() {
    let rules: Vec<AlertRule> = serde_json::from_value(json!([
        {"id": "error_rate", "severity": "critical", "hold_ms": 5000, "keep_ms": 60000},
        {"id": "slow_api", "severity": "warning", "expire_ms": 1000},
    ]))
    .unwrap();
    let expected = [
        AlertRule::new("error_rate", Severity::Critical).hold(secs(5)).keep(secs(60)),
        AlertRule::new("slow_api", Severity::Warning).expire(secs(1)),
    ];
    assert_eq!(rules, expected);
    let again: Vec<AlertRule> = serde_json::from_value(serde_json::to_value(&rules).unwrap()).unwrap();
    assert_eq!(again, expected);
    assert!(serde_json::from_value::<AlertRule>(json!({"id": "a", "severity": "info", "hold": 5})).is_err());

    assert_eq!(Alerts::new(AlertRule::standard(), 1).unwrap().rules(), AlertRule::standard());
    let refused = |rules: Vec<AlertRule>| Alerts::new(rules, 1).unwrap_err();
    for id in ["", "A", "a b", "ä", &"a".repeat(65)] {
        let rule = AlertRule::new(id.to_owned(), Severity::Info);
        assert!(matches!(refused(vec![rule]), AlertRuleError::Id { .. }), "{id}");
    }
    assert_eq!(refused(vec![rule(0, 0, 1); 2]), AlertRuleError::Twice { id: "r".to_owned() });
    for (bad, named) in [(rule(86_401, 0, 1), "hold"), (rule(0, 86_401, 1), "keep"), (rule(0, 0, 0), "expire")] {
        assert!(matches!(refused(vec![bad]), AlertRuleError::Duration { field, .. } if field == named));
    }
    let many = (0..257).map(|id| AlertRule::new(id.to_string(), Severity::Info)).collect();
    assert_eq!(refused(many), AlertRuleError::TooMany { given: 257 });
}

#[test]
fn a_transition_is_what_a_webhook_sends() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let trace = TraceContext::new(0x4bf9, 7, true);
    let first = seen(Some(true)).subject("GET /a").detail("P95 of GET /a").trace(trace);
    let fired = at(&mut alerts, 3, &[first]);
    assert_eq!(
        serde_json::to_value(&fired[1]).unwrap(),
        json!({"seq": 2, "at_unix_ms": 3000, "from": "pending", "notify": true, "alert": {
            "id": 1, "rule": "r", "subject": "GET /a", "severity": "warning", "phase": "firing",
            "pending_at_unix_ms": 3000, "fired_at_unix_ms": 3000, "ended_at_unix_ms": null, "known_at_unix_ms": 3000,
            "value": 2.0, "peak": 2.0, "threshold": 1.0, "detail": "P95 of GET /a",
            "trace_id": "00000000000000000000000000004bf9", "silenced": false,
        }})
    );
}

#[test]
fn a_client_that_lost_the_stream_resumes_or_gets_a_gap() {
    let mut alerts = Alerts::new(vec![rule(0, 0, 60)], 10).unwrap();
    assert!(!alerts.since(0).missed);
    assert!(alerts.since(1).missed, "a number of another process");
    for second in 0..20 {
        at(&mut alerts, second, &[seen(Some(second % 2 == 0))]);
    }
    // Ten alerts: pending, firing and resolved each.
    let seqs = |since: u64| alerts.since(since).transitions.iter().map(|step| step.seq).collect::<Vec<_>>();
    assert_eq!(seqs(27), [28, 29, 30]);
    assert_eq!((seqs(30), alerts.since(30).missed), (vec![], false));
    assert_eq!((alerts.since(20).missed, seqs(20).len()), (false, 10));
    assert!(alerts.since(19).missed);
    let ended: Vec<_> = alerts.list(100).iter().map(|alert| alert.id).collect();
    assert_eq!(ended, (1..=10).rev().collect::<Vec<_>>());
    let ids: Vec<_> = alerts.list(3).iter().map(|alert| alert.id).collect();
    assert_eq!(ids, [10, 9, 8]);
}

#[test]
fn absurd_input_is_bounded() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let long = "é".repeat(5_000);
    let nan = Observation::new("r", Some(true), f64::NAN, f64::INFINITY).subject(long.as_str()).detail(long.as_str());
    let fired = at(&mut alerts, 0, &[nan]);
    assert_eq!((fired[1].alert.subject.len(), fired[1].alert.detail.len()), (256, 1024));
    let body = serde_json::to_value(&fired[1]).unwrap();
    assert_eq!((&body["alert"]["value"], &body["alert"]["threshold"]), (&json!(null), &json!(null)));
    let subjects: Vec<String> = (0..2_000).map(|subject| subject.to_string()).collect();
    let many: Vec<_> = subjects.iter().map(|subject| seen(Some(true)).subject(subject.as_str())).collect();
    at(&mut alerts, 1, &many);
    assert_eq!(alerts.list(usize::MAX).len(), 1_000);
    assert_eq!(alerts.overflowed(), 1_001);
    assert_eq!(
        alerts.evaluate(Duration::MAX, u64::MAX, &[]).len(),
        1_000,
        "two minutes of a step are enough to expire"
    );
    assert_eq!(alerts.list(usize::MAX).len(), 200);
}

#[test]
fn firing_alerts_are_listed_without_ended_ones() {
    let mut alerts = alerts([rule(0, 0, 60), AlertRule::new("slow", Severity::Info).hold(secs(60))]);
    assert_eq!(alerts.firing().count(), 0);
    let of = |subject: &'static str, breached| seen(Some(breached)).subject(subject);
    at(&mut alerts, 0, &[of("a", true), of("b", true), Observation::new("slow", Some(true), 2.0, 1.0)]);
    at(&mut alerts, 1, &[of("a", true), of("b", false)]);
    let firing: Vec<_> = alerts.firing().map(|alert| (alert.rule.as_str(), alert.subject.as_str())).collect();
    assert_eq!(firing, [("r", "a")], "`b` is over and `slow` is pending");
}

#[test]
fn names_equal_those_in_json() {
    for severity in Severity::ALL {
        assert_eq!(json!(severity), severity.name());
    }
    for phase in [Phase::Pending, Phase::Firing, Phase::Resolved, Phase::Expired, Phase::Withdrawn] {
        assert_eq!((json!(phase), phase.to_string().as_str()), (json!(phase.name()), phase.name()));
    }
    assert!(AlertRule::standard().iter().any(|rule| rule.id == "slow_statements"), "as `Queries` reads it");
}
