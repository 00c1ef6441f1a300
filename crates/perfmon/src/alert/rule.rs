//! What deserves an alert, as data.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a rule's id.
const LONGEST_ID: usize = 64;
/// Rules of one engine.
const MOST_RULES: usize = 256;
/// The longest hold or keep of a rule.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
const LONGEST_SILENCE_OF_FIGURES: Duration = Duration::from_secs(30 * 24 * 3600);

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// An operator should look at it on a working day.
    Warning,
    /// An operator should look at it now.
    Critical,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// `info`, `warning` or `critical`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When an observation becomes an alert, and when that ends.
///
/// As data it is `{"id": "error_rate", "severity": "critical"}`. Optional members are `hold_ms`
/// (such as 5000), `keep_ms` (60000) and `expire_ms` (3600000).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Its name, by which observations find it: 1 to 64 of `a`–`z`, `0`–`9`, `_`, `-` and `.`.
    pub id: Cow<'static, str>,
    /// How much it matters.
    pub severity: Severity,
    /// How long it must be breached, without a break, before the alert fires (the `for` of
    /// Prometheus); 0 by default. Time in which too little was known does not count.
    #[serde(rename = "hold_ms", default, with = "as_millis")]
    pub hold: Duration,
    /// How long it must be known to be well before the alert is resolved; 0 by default.
    #[serde(rename = "keep_ms", default, with = "as_millis")]
    pub keep: Duration,
    /// How long an alert may be unknown before it ends as expired, not as resolved; an hour by
    /// default.
    #[serde(rename = "expire_ms", default = "an_hour", with = "as_millis")]
    pub expire: Duration,
}

impl AlertRule {
    /// A rule that fires and is resolved at once, and expires after an hour without knowledge.
    pub fn new(id: impl Into<Cow<'static, str>>, severity: Severity) -> Self {
        Self { id: id.into(), severity, hold: Duration::ZERO, keep: Duration::ZERO, expire: an_hour() }
    }

    /// With this time until it fires.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// With this time until it is resolved.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// With this time until it ends for want of knowledge.
    #[must_use]
    pub fn expire(mut self, expire: Duration) -> Self {
        self.expire = expire;
        self
    }

    /// Returns rules for the observations of a [`HealthReport`](crate::HealthReport): `health`, the
    /// built-in readings, and `slow_statements` of [`Queries`](crate::Queries). Those that are
    /// critical to health fire after 5 s, the others after 30 s. All resolve after a minute.
    pub fn standard() -> Vec<Self> {
        let rule =
            |id, severity, hold| Self::new(id, severity).hold(Duration::from_secs(hold)).keep(Duration::from_secs(60));
        let critical = ["health", "error_rate", "aborted", "p99"].map(|id| rule(id, Severity::Critical, 5));
        let warnings = [
            "failing_api",
            "slow_api",
            "slow_query",
            "slow_statements",
            "database_time",
            "api_time",
            "cache_time",
            "rendering_time",
            "pool_in_use",
            "cache_misses",
        ];
        critical.into_iter().chain(warnings.map(|id| rule(id, Severity::Warning, 30))).collect()
    }
}

/// Why rules are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertRuleError {
    /// An id that is empty, too long, or of other characters.
    #[error("a rule's id is 1 to 64 of a-z, 0-9, `_`, `-` and `.`, not {id:?}")]
    Id {
        /// The id, cut to what an id may be long.
        id: String,
    },
    /// Two rules of one id.
    #[error("there are two rules `{id}`")]
    Twice {
        /// Their id.
        id: String,
    },
    /// A duration beyond what makes sense.
    #[error("`{field}` of rule `{id}` is {range}, not {given:?}")]
    Duration {
        /// The rule.
        id: String,
        /// The field.
        field: &'static str,
        /// The given value.
        given: Duration,
        /// The allowed values.
        range: &'static str,
    },
    /// More than 256 rules.
    #[error("there are {given} rules; 256 are the most")]
    TooMany {
        /// How many.
        given: usize,
    },
}

pub(super) fn check(rules: &[AlertRule]) -> Result<(), AlertRuleError> {
    if rules.len() > MOST_RULES {
        return Err(AlertRuleError::TooMany { given: rules.len() });
    }
    let mut ids = BTreeSet::new();
    for AlertRule { id, hold, keep, expire, .. } in rules {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_plain) {
            return Err(AlertRuleError::Id { id: id[..id.floor_char_boundary(LONGEST_ID)].to_owned() });
        }
        if !ids.insert(id) {
            return Err(AlertRuleError::Twice { id: id.to_string() });
        }
        let refuse = |field, given, range| AlertRuleError::Duration { id: id.to_string(), field, given, range };
        for (field, given) in [("hold", *hold), ("keep", *keep)] {
            if given > LONGEST_WAIT {
                return Err(refuse(field, given, "at most a day"));
            }
        }
        if expire.is_zero() || *expire > LONGEST_SILENCE_OF_FIGURES {
            return Err(refuse("expire", *expire, "above 0 and at most 30 days"));
        }
    }
    Ok(())
}

const fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

/// Durations in rules as whole milliseconds.
pub(super) mod as_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
