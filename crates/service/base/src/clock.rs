//! The application's wall clock: the one place that reads it.

use chrono::{DateTime, Utc};

/// The time now, cut to milliseconds, which is what the tables keep.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is told to use")]
pub fn now() -> DateTime<Utc> {
    from_ms(Utc::now().timestamp_millis())
}

/// The same in milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    u64::try_from(now().timestamp_millis()).unwrap_or(0)
}

/// A time from the milliseconds in a table.
pub fn from_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
