//! A rule, an engine, and what it returns.

use std::time::Duration;

use tidegate_perfmon::{AlertRule, Alerts, Observation, Phase, Severity, Silence, Transition};

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn rule(hold: u64, keep: u64, expire: u64) -> AlertRule {
    AlertRule::new("r", Severity::Warning).hold(secs(hold)).keep(secs(keep)).expire(secs(expire))
}

pub(crate) fn alerts(rules: impl IntoIterator<Item = AlertRule>) -> Alerts {
    Alerts::new(rules.into_iter().collect(), 200).expect("sound rules")
}

pub(crate) fn seen(breached: Option<bool>) -> Observation<'static> {
    Observation::new("r", breached, 2.0, 1.0)
}

pub(crate) fn at(alerts: &mut Alerts, at: u64, seen: &[Observation<'_>]) -> Vec<Transition> {
    alerts.evaluate(secs(at), at * 1000, seen)
}

pub(crate) fn phases(transitions: &[Transition]) -> Vec<(Option<Phase>, Phase, bool)> {
    transitions.iter().map(|step| (step.from, step.alert.phase, step.notify)).collect()
}

pub(crate) fn silence(rule: &str, subject: Option<&str>, until_secs: u64) -> Silence {
    let (rule, subject, until_unix_ms) = (rule.to_owned(), subject.map(str::to_owned), until_secs * 1000);
    Silence { rule, subject, until_unix_ms, reason: "planned".to_owned() }
}
