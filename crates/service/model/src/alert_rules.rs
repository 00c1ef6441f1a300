//! Alert rules with a threshold: the built-in rules, changes to them from the settings, and an
//! operator's own rules.

mod book;
mod cursor;
mod limits;
mod own;
mod standing;
mod text;
mod unit;

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_perfmon::Severity;

pub use book::{Measurement, RuleBook, sentence};
pub use limits::{LIMITS, Limit};
pub use own::{Matcher, OwnRule, Source};
pub use standing::{TENANT_ANOMALY, standing_rules};
pub use text::RuleTextError;
pub use text::parse;
pub use unit::Unit;
pub use unit::in_words;

/// Longest time for which a rule may have to be breached before its alert fires.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// The setting `alerts.rules`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleChanges {
    /// Changes to built-in rules, by rule.
    pub changes: BTreeMap<String, Change>,
    /// Rules on metrics, in the order of the setting.
    pub own: Vec<OwnRule>,
}

/// A change to a built-in rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The rule makes no alerts.
    Off,
    /// The rule has these values. `None` keeps the default.
    To {
        /// Threshold, in the unit of the rule.
        threshold: Option<f64>,
        /// Time for which the rule must be breached.
        hold: Option<Duration>,
        /// Severity of its alerts.
        severity: Option<Severity>,
    },
}
