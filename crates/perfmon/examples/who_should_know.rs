//! When does an alert notify its operators, and how often?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{AlertRule, Alerts, Observation, Phase, Severity, Silence};

pub(crate) fn main() {
    let rule =
        AlertRule::new("queue_length", Severity::Warning).hold(Duration::from_secs(30)).keep(Duration::from_secs(60));
    let mut alerts = Alerts::new(vec![rule], 100).expect("the rule is sound");
    let mut notified = Vec::new();
    // Once a second. The queue is too long for three minutes, except for one second.
    for second in 0..300 {
        let length = if second < 180 && second != 100 { 2_000.0 } else { 10.0 };
        let seen = Observation::new("queue_length", Some(length > 1_000.0), length, 1_000.0).subject("import");
        for step in alerts.evaluate(Duration::from_secs(second), second * 1_000, &[seen]) {
            if step.notify {
                println!("at {second} s: {} of {} is {}", step.alert.rule, step.alert.subject, step.alert.phase);
                notified.push((second, step.alert.phase));
            }
        }
    }
    assert_eq!(
        notified,
        [(30, Phase::Firing), (240, Phase::Resolved)],
        "one notification, although the value changed in between"
    );

    let until_unix_ms = 3_600_000;
    let planned = Silence { rule: "queue_length".into(), subject: None, until_unix_ms, reason: "a big import".into() };
    alerts.silence(planned, 300_000).expect("there is such a rule");
    assert_eq!(alerts.silences(300_000).len(), 1);
}
