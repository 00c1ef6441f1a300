//! Alerts without notifications for a while.

use std::time::Duration;

use serde::Serialize;

/// Silences in force at once.
const MOST: usize = 256;
/// Bytes of a subject, and of a reason.
const LONGEST_TEXT: usize = 256;
/// If it needs to be longer, change the rule.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Suppresses notifications of a rule, or of one of its subjects, until a time. Alerts continue
/// under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// The rule.
    pub rule: String,
    /// The subject; `None` for all of the rule.
    pub subject: Option<String>,
    /// The first moment at which it is over.
    pub until_unix_ms: u64,
    /// The person who set it, and why.
    pub reason: String,
}

/// Why a silence is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// No rule has this id.
    #[error("there is no rule {rule:?}")]
    UnknownRule {
        /// The id, cut to 64 bytes.
        rule: String,
    },
    /// It would be over already.
    #[error("a silence until {until_unix_ms} is over at {now_unix_ms}")]
    Past {
        /// Its end.
        until_unix_ms: u64,
        /// The time it was asked for at.
        now_unix_ms: u64,
    },
    /// It would last for more than 30 days.
    #[error("a silence lasts for 30 days at most, not until {until_unix_ms}")]
    TooLong {
        /// Its end.
        until_unix_ms: u64,
    },
    /// A text of more than 256 bytes.
    #[error("`{field}` of a silence has 256 bytes at most, not {given}")]
    Text {
        /// `subject` or `reason`.
        field: &'static str,
        /// Its bytes.
        given: usize,
    },
    /// 256 are in force.
    #[error("256 silences are in force, which are the most")]
    TooMany,
}

/// Silences in force, and perhaps some that are over.
#[derive(Debug, Default)]
pub(super) struct Silences {
    all: Vec<Silence>,
}

impl Silences {
    pub(super) fn check(&self, silence: &Silence, unix_ms: u64) -> Result<(), SilenceError> {
        let Silence { until_unix_ms, .. } = *silence;
        if until_unix_ms <= unix_ms {
            return Err(SilenceError::Past { until_unix_ms, now_unix_ms: unix_ms });
        }
        if Duration::from_millis(until_unix_ms - unix_ms) > LONGEST {
            return Err(SilenceError::TooLong { until_unix_ms });
        }
        for (field, text) in [("subject", silence.subject.as_deref()), ("reason", Some(silence.reason.as_str()))] {
            let given = text.map_or(0, str::len);
            if given > LONGEST_TEXT {
                return Err(SilenceError::Text { field, given });
            }
        }
        if self.in_force(unix_ms).filter(|held| !is_same(held, silence)).count() >= MOST {
            return Err(SilenceError::TooMany);
        }
        Ok(())
    }

    /// One of the same rule and subject is replaced.
    pub(super) fn add(&mut self, silence: Silence, unix_ms: u64) {
        self.all.retain(|held| held.until_unix_ms > unix_ms && !is_same(held, &silence));
        self.all.push(silence);
    }

    /// Whether there was one.
    pub(super) fn lift(&mut self, rule: &str, subject: Option<&str>) -> bool {
        let before = self.all.len();
        self.all.retain(|held| held.rule != rule || held.subject.as_deref() != subject);
        self.all.len() < before
    }

    pub(super) fn covers(&self, rule: &str, subject: &str, unix_ms: u64) -> bool {
        self.in_force(unix_ms)
            .any(|held| held.rule == rule && held.subject.as_deref().is_none_or(|covered| covered == subject))
    }

    pub(super) fn in_force(&self, unix_ms: u64) -> impl Iterator<Item = &Silence> {
        self.all.iter().filter(move |held| held.until_unix_ms > unix_ms)
    }
}

fn is_same(one: &Silence, other: &Silence) -> bool {
    (&one.rule, &one.subject) == (&other.rule, &other.subject)
}
