//! An operator's rule on a metric of `/metrics`.

use std::fmt;
use std::time::Duration;

use tidegate_perfmon::{AlertRule, Severity};

use super::Unit;
use super::limits::KEEP;

/// A rule on the value, or on the increase, of a metric. Each series of it is a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnRule {
    /// Name of the rule.
    pub name: String,
    /// The series that it reads.
    pub source: Source,
    /// Whether values below the threshold breach the rule, not those above it.
    pub is_below: bool,
    /// Threshold, in the unit of the metric.
    pub threshold: f64,
    /// Time for which the rule must be breached.
    pub hold: Duration,
    /// Severity of its alerts.
    pub severity: Severity,
}

/// Series of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the metric, as in `/metrics`.
    pub metric: String,
    /// Conditions on labels, all of which must hold.
    pub labels: Vec<Matcher>,
    /// Time over which the increase is taken. `None` for the value itself.
    pub within: Option<Duration>,
}

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Name of the label.
    pub label: String,
    /// Value of the label.
    pub value: String,
    /// Whether the label must have another value.
    pub is_negated: bool,
}

impl OwnRule {
    pub(super) fn rule(&self) -> AlertRule {
        AlertRule::new(self.name.clone(), self.severity).hold(self.hold).keep(KEEP)
    }

    /// The unit of its metric.
    pub fn unit(&self) -> Unit {
        Unit::of_metric(&self.source.metric)
    }

    /// Whether the value breaches the rule. `None` if it is not a number.
    pub fn is_breached_by(&self, value: f64) -> Option<bool> {
        let is_beyond = if self.is_below { value < self.threshold } else { value > self.threshold };
        (!value.is_nan()).then_some(is_beyond)
    }
}

impl Source {
    /// Whether the rule reads this series.
    pub fn covers(&self, metric: &str, labels: &[(&str, String)]) -> bool {
        let holds = |matcher: &Matcher| {
            // As in Prometheus, a label that is missing is empty.
            let found = labels.iter().find(|(name, _)| *name == matcher.label).map_or("", |(_, value)| value.as_str());
            (found == matcher.value) != matcher.is_negated
        };
        self.metric == metric && self.labels.iter().all(holds)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            Some(within) => write!(f, "increase of {} within {}", self.metric, super::in_words(within)),
            None => f.write_str(&self.metric),
        }
    }
}
