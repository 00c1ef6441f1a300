//! The only place that reads the wall clock.

use chrono::{DateTime, Utc};

/// Returns the current time in whole milliseconds, the precision of the tables.
#[expect(clippy::disallowed_methods, reason = "all other code must use this clock")]
pub fn now() -> DateTime<Utc> {
    from_ms(Utc::now().timestamp_millis())
}

/// Returns the current time in milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    u64::try_from(now().timestamp_millis()).unwrap_or(0)
}

/// Returns the time for the milliseconds in a table.
pub fn from_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
