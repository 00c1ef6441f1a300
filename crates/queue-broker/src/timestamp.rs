//! Points in time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_clock::Clock;

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// Serializes as RFC 3339 with milliseconds (`2026-01-31T09:30:00.000Z`). Values outside the years
/// 1970 to 9999 are clamped, so that every timestamp can be printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z.
const LAST: i64 = 253_402_300_799_999;

impl Timestamp {
    /// Reads the wall-clock time of `clock`.
    pub fn now(clock: &Clock) -> Self {
        clock.wall().into()
    }

    /// Takes milliseconds since the Unix epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        if ms < 0 {
            Self(0)
        } else if ms > LAST {
            Self(LAST)
        } else {
            Self(ms)
        }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// The point `delay` later, at most the end of year 9999. Fractions of a millisecond round up.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        let ms = i64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// The point `age` earlier, at least the epoch.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        let ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_ms(self.0.saturating_sub(ms))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = DateTime::<chrono::FixedOffset>::deserialize(deserializer)?;
        Ok(Self::from_unix_ms(time.timestamp_millis()))
    }
}

/// Drops fractions of a millisecond.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(LAST))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + time.since(Timestamp::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_unix_ms(i64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(Timestamp::from_unix_ms(5).before(Duration::MAX).unix_ms(), 0);
        assert_eq!(Timestamp::from_unix_ms(-1).unix_ms(), 0);
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
        assert_eq!(Timestamp::default().after(Duration::from_nanos(1)).unix_ms(), 1);
        assert_eq!(end.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn serializes_as_rfc_3339() {
        let time = Timestamp::from_unix_ms(1_700_000_000_123);
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time);
    }
}
