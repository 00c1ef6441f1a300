//! Sources of time. Only this file reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: whole microseconds since the epoch of the clock that returned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest point in time.
    pub const MIN: Self = Self(0);
    /// The latest point in time, about 584,000 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

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

/// Whole microseconds of a duration, limited to `u64::MAX`.
pub(crate) fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A source of time. Limiters read it while they hold the lock of a key's state. With a monotonic
/// clock, the time of each key is therefore monotonic too.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns the current time in nanoseconds since the same epoch, for callers that would
    /// otherwise divide a finer clock. The default converts [`now`](Self::now).
    fn nanos(&self) -> u64 {
        self.now().as_micros().saturating_mul(1_000)
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn nanos(&self) -> u64 {
        (**self).nanos()
    }
}

impl<C: Clock + ?Sized> Clock for Box<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn nanos(&self) -> u64 {
        (**self).nanos()
    }
}

/// The Unix time at its creation, advanced by the monotonic clock. It never goes back and ignores
/// later corrections of the system time. Clones return the same time.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: u64,
}

impl SystemClock {
    /// Creates a clock. Reads the system time once.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: whole_micros(since_epoch) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.started_at.saturating_add(whole_micros(self.started.elapsed())))
    }

    fn nanos(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.started_at.saturating_mul(1_000).saturating_add(passed)
    }
}

/// A clock that changes only when it is set or advanced, for tests. Clones share their time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock with the time `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Sets the clock to `now`, which may be earlier.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Advances the clock by the whole microseconds of `by`.
    pub fn advance(&self, by: Duration) {
        let by = whole_micros(by);
        self.0.update(Ordering::SeqCst, Ordering::SeqCst, |now| now.saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
