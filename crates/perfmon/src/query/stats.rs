//! The figures of a shape.

use std::time::Duration;

use serde::Serialize;

use super::dialect::Dialect;
use super::fingerprint::Fingerprint;
use crate::figure::millis;

/// The figure to rank shapes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The time of all its calls: what an index or a cache gains most from.
    #[default]
    Total,
    /// The time of one call.
    Mean,
    /// The 99th percentile.
    P99,
    /// How often it ran.
    Calls,
}

impl By {
    pub(super) fn of(self, stats: &QueryStats) -> u128 {
        match self {
            Self::Total => stats.total.as_nanos(),
            Self::Mean => stats.mean.as_nanos(),
            Self::P99 => stats.p99.as_nanos(),
            Self::Calls => u128::from(stats.calls),
        }
    }
}

/// The figures of one shape since it was first seen. In JSON durations are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QueryStats {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// The shape as text, without values.
    pub text: String,
    /// Dialect of the statement.
    pub dialect: Dialect,
    /// How often it ran.
    pub calls: u64,
    /// How often it was slow, exactly.
    pub slow: u64,
    /// How long it took in all, each call as at most a day.
    #[serde(rename = "total_ms", serialize_with = "millis::required")]
    pub total: Duration,
    /// How long it took on average.
    #[serde(rename = "mean_ms", serialize_with = "millis::required")]
    pub mean: Duration,
    /// 99th percentile, at most 1.6 % above the true call and never below it.
    #[serde(rename = "p99_ms", serialize_with = "millis::required")]
    pub p99: Duration,
    /// The longest call, exactly.
    #[serde(rename = "max_ms", serialize_with = "millis::required")]
    pub max: Duration,
    /// How many rows it gave or changed.
    pub rows: u64,
    /// Its part of the time of all statements, 0 to 1.
    pub share: f64,
    /// When it was first seen, in milliseconds since the Unix epoch.
    pub first_unix_ms: u64,
    /// When it last ended.
    pub last_unix_ms: u64,
}
