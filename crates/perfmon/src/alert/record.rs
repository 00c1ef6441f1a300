//! An alert, its phase and its transitions.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::rule::Severity;

/// The phase of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Breached, but not for long enough.
    Pending,
    /// Breached for long enough: operators are notified, unless it is silenced.
    Firing,
    /// It fired, and is known to be well.
    Resolved,
    /// It fired, and nothing has been known of it for too long.
    Expired,
    /// It was pending, and never fired.
    Withdrawn,
}

impl Phase {
    /// `pending`, `firing`, `resolved`, `expired` or `withdrawn`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One alert, from its first breach on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// Number of the alert, counted up from 1 in this process. The next breach of the same rule and
    /// subject is another alert.
    pub id: u64,
    /// The rule.
    pub rule: String,
    /// Which of several things under the rule; may be empty.
    pub subject: String,
    /// How much it matters.
    pub severity: Severity,
    /// Its phase.
    pub phase: Phase,
    /// When it became pending.
    pub pending_at_unix_ms: u64,
    /// When it fired.
    pub fired_at_unix_ms: Option<u64>,
    /// When it ended.
    pub ended_at_unix_ms: Option<u64>,
    /// When anything was last known of it.
    pub known_at_unix_ms: u64,
    /// The value last known; `null` in JSON when it is no number.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// The largest value known.
    #[serde(deserialize_with = "number")]
    pub peak: f64,
    /// The threshold last known.
    #[serde(deserialize_with = "number")]
    pub threshold: f64,
    /// The latest text beside the numbers.
    pub detail: String,
    /// A trace that shows it, in 32 hexadecimal digits: the first that was given.
    pub trace_id: Option<String>,
    /// Whether a silence covers it.
    pub silenced: bool,
}

/// A step in an alert's life. It serializes as what a webhook or an event stream sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// Counts up by one from 1 in this process.
    pub seq: u64,
    /// When.
    pub at_unix_ms: u64,
    /// The phase before; `None` for a new alert. From firing to firing means that its silence
    /// ended.
    pub from: Option<Phase>,
    /// Whether to send a notification: for a firing alert unless it is silenced, and for the end of
    /// every alert that was notified.
    pub notify: bool,
    /// The alert after this step.
    pub alert: Alert,
}

impl Transition {
    /// Makes a step outside of [`Alerts`](crate::Alerts), such as from the alerts of several
    /// processes.
    pub fn new(seq: u64, at_unix_ms: u64, from: Option<Phase>, notify: bool, alert: Alert) -> Self {
        Self { seq, at_unix_ms, from, notify, alert }
    }
}

/// JSON has no number that is none, and says `null`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AlertRule, Alerts, Observation};

    #[test]
    fn a_transition_is_read_back_from_its_json_as_it_was() {
        let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Critical)], 10).unwrap();
        let seen = [Observation::new("r", Some(true), 2.5, f64::NAN).subject("s").detail("d")];
        for step in alerts.evaluate(Duration::ZERO, 7, &seen) {
            let json = serde_json::to_string(&step).unwrap();
            let mut read: Transition = serde_json::from_str(&json).unwrap();
            assert!(std::mem::replace(&mut read.alert.threshold, 1.0).is_nan());
            let Transition { seq, at_unix_ms, from, notify, mut alert } = step;
            alert.threshold = 1.0;
            assert_eq!(read, Transition::new(seq, at_unix_ms, from, notify, alert));
        }
    }
}
