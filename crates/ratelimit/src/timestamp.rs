//! Points in time, in whole microseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_clock::Clock;

/// A point in time: whole microseconds since the epoch of the clock that returned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest point in time.
    pub const MIN: Self = Self(0);
    /// The latest point in time, about 584,000 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

    /// The [steady](Clock::steady) time of `clock`: the Unix time of its origin plus the monotonic
    /// time since. Limiters read it while they hold the lock of a key's state, so the time of each
    /// key is monotonic too.
    #[inline]
    pub fn now(clock: &Clock) -> Self {
        Self(whole_micros(clock.steady()))
    }

    /// The point `micros` µs after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns this point plus `by`, limited to [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(whole_micros(by)))
    }

    /// Returns the time from `earlier` to this point, zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Microseconds since the Unix epoch, for [`ManualClock::at`](tidegate_clock::ManualClock::at).
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_micros(time.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// Whole microseconds of a duration, limited to `u64::MAX`.
pub(crate) fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
