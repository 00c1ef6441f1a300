//! Alerts for tests.

use std::time::Duration;

use tidegate_base::identity::Identity;
use tidegate_perfmon::{Alert, AlertRule, Alerts, Observation, Severity, Transition};

use super::notice::Notice;

/// Makes a firing alert with value 1 and threshold 0.5.
pub(super) fn alert(rule: &str, subject: &str) -> Alert {
    let rule = AlertRule::new(rule.to_owned(), Severity::Critical).hold(Duration::ZERO);
    let id = rule.id.clone();
    let mut alerts = Alerts::new(vec![rule], 10).unwrap();
    let seen = [Observation::new(id, Some(true), 1.0, 0.5).subject(subject.to_owned())];
    alerts.evaluate(Duration::ZERO, 1_700_000_000_000, &seen).pop().unwrap().alert
}

/// Makes the identity of a process with that instance id.
pub(super) fn process(instance: &str) -> Identity {
    let [service, version, host] = ["tidegate-api", "1.0.0", "node-1"].map(str::to_owned);
    Identity { service, version, instance: instance.to_owned(), host }
}

/// Makes the notice of an alert.
pub(super) fn notice(alert: Alert) -> Notice {
    let step = Transition::new(1, 1_700_000_000_000, None, true, alert);
    Notice { event: "cafe-1".to_owned(), step, source: process("7c0f6b0e-1") }
}
