//! The rules in force.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_perfmon::{AlertRule, Observation};

use super::limits::{LIMITS, Limit};
use super::{Change, OwnRule, RuleChanges, Unit, in_words};

/// The built-in rules with the changes from the settings, and the operator's own rules.
#[derive(Debug)]
pub struct RuleBook {
    rules: Vec<AlertRule>,
    /// Built-in rules that the settings switch off.
    off: BTreeSet<String>,
    thresholds: BTreeMap<&'static str, f64>,
}

/// The current value of one subject of a rule in [`LIMITS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    rule: &'static str,
    subject: String,
    value: f64,
    most: f64,
}

impl Measurement {
    /// Creates a value of that rule for that subject.
    pub fn new(rule: &'static str, subject: impl Into<String>, value: f64) -> Self {
        Self { rule, subject: subject.into(), value, most: f64::INFINITY }
    }

    /// Sets a threshold of its own, which applies if it is below the rule's threshold.
    #[must_use]
    pub fn at_most(mut self, most: f64) -> Self {
        self.most = most;
        self
    }
}

impl RuleBook {
    /// Combines the rules `standing` with those of the settings.
    pub fn new(standing: Vec<AlertRule>, settings: &RuleChanges) -> Self {
        let changed = |mut rule: AlertRule| match settings.changes.get(&*rule.id) {
            Some(Change::Off) => None,
            Some(Change::To { hold, severity, .. }) => {
                (rule.hold, rule.severity) = (hold.unwrap_or(rule.hold), severity.unwrap_or(rule.severity));
                Some(rule)
            }
            None => Some(rule),
        };
        let off = settings.changes.iter().filter(|(_, change)| **change == Change::Off);
        let own = settings.own.iter().map(OwnRule::rule);
        let threshold = |limit: &Limit| match settings.changes.get(limit.id) {
            Some(Change::To { threshold: Some(threshold), .. }) => *threshold,
            _ => limit.above,
        };
        Self {
            rules: standing.into_iter().filter_map(changed).chain(own).collect(),
            off: off.map(|(id, _)| id.clone()).collect(),
            thresholds: LIMITS.iter().map(|limit| (limit.id, threshold(limit))).collect(),
        }
    }

    /// All rules in force.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// Whether the settings switch the rule off.
    pub fn is_off(&self, id: &str) -> bool {
        self.off.contains(id)
    }

    /// Compares a figure with the threshold of its rule. `None` if the rule is off.
    pub fn observe(&self, figure: Measurement) -> Option<Observation<'static>> {
        let Measurement { rule, subject, value, most } = figure;
        let (limit, threshold) = (Limit::named(rule)?, self.thresholds.get(rule)?.min(most));
        let hold = self.rule(rule)?.hold;
        let is_breached = (!value.is_nan()).then_some(value > threshold);
        let what = limit.what.replace("{}", &subject);
        let detail = sentence(&what, limit.unit, (value, threshold), false, is_breached, hold);
        Some(Observation::new(rule, is_breached, value, threshold).subject(subject).detail(detail))
    }

    fn rule(&self, id: &str) -> Option<&AlertRule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

/// Returns the text of an alert, such as `number of dead letters of queue email is 12, above 10 for
/// 2 minutes`.
pub fn sentence(
    what: &str,
    unit: Unit,
    (value, threshold): (f64, f64),
    is_below: bool,
    is_breached: Option<bool>,
    hold: Duration,
) -> String {
    let side = if is_below { "below" } else { "above" };
    let (value, threshold) = (unit.show(value), unit.show(threshold));
    match is_breached {
        Some(true) if hold.is_zero() => format!("{what} is {value}, {side} {threshold}"),
        Some(true) => format!("{what} is {value}, {side} {threshold} for {}", in_words(hold)),
        _ => format!("{what} is {value}, not {side} {threshold}"),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::Severity;

    use super::*;
    use crate::alert_rules::parse;

    fn book(text: &str) -> RuleBook {
        let standing: Vec<_> = LIMITS.iter().map(Limit::rule).collect();
        RuleBook::new(standing.clone(), &parse(text, &standing).unwrap())
    }

    #[test]
    fn a_figure_above_its_threshold_is_a_breach_with_a_sentence() {
        let book = book("");
        let observed = |value| book.observe(Measurement::new("dead_letters", "email", value)).unwrap();
        let breach = observed(12.0);
        assert_eq!((breach.breached, &*breach.subject), (Some(true), "email"));
        assert_eq!(breach.detail, "number of dead letters of queue email is 12, above 10 for 2 minutes");
        let fine = observed(10.0);
        assert_eq!(fine.breached, Some(false));
        assert_eq!(fine.detail, "number of dead letters of queue email is 10, not above 10");
        assert_eq!(observed(f64::NAN).breached, None);
    }

    #[test]
    fn settings_change_threshold_time_and_severity_and_switch_a_rule_off() {
        let book = book("dead_letters: > 100 for 5m critical, backlog: off, oldest_job: > 10m");
        let figure = |rule, value| book.observe(Measurement::new(rule, "email", value));
        assert_eq!(figure("dead_letters", 100.0).unwrap().breached, Some(false));
        let breach = figure("dead_letters", 101.0).unwrap();
        assert_eq!(breach.detail, "number of dead letters of queue email is 101, above 100 for 5 minutes");
        let rule = book.rules().iter().find(|rule| rule.id == "dead_letters").unwrap();
        assert_eq!((rule.severity, rule.hold), (Severity::Critical, Duration::from_secs(300)));
        assert!(book.is_off("backlog") && !book.is_off("p99") && figure("backlog", 1e9).is_none());
        let oldest = figure("oldest_job", 700.0).unwrap();
        assert_eq!(
            oldest.detail,
            "wait of the oldest job of queue email is 11 minutes 40 seconds, above 10 minutes for 1 minute"
        );
    }

    #[test]
    fn a_figure_may_bring_a_lower_threshold_and_no_higher_one() {
        let book = book("");
        let clients =
            |most: f64| book.observe(Measurement::new("redis_clients", "here:1", 950.0).at_most(most)).unwrap();
        assert_eq!((clients(900.0).threshold, clients(900.0).breached), (900.0, Some(true)));
        assert_eq!((clients(90_000.0).threshold, clients(90_000.0).breached), (10_000.0, Some(false)));
    }
}
