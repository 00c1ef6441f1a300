//! Time, injected. The only file of this crate that reads the system's clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Monotonic time since a start that the clock chooses.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time by which entries expire. Called once per lookup, so it must be cheap.
    fn now(&self) -> Duration;

    /// Returns the time that measures loads and sampled lookups. May be slower than [`Clock::now`].
    fn precise(&self) -> Duration {
        self.now()
    }
}

/// The system's monotonic clock.
///
/// [`Clock::now`] reads the coarse clock (on Linux `CLOCK_MONOTONIC_COARSE`: 1 to 4 ms steps, a few
/// nanoseconds per read), [`Clock::precise`] the fine one.
#[derive(Debug, Clone)]
pub struct SystemClock {
    coarse: coarsetime::Instant,
    precise: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
    pub fn new() -> Self {
        Self { coarse: coarsetime::Instant::now_without_cache_update(), precise: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(coarsetime::Instant::now_without_cache_update().duration_since(self.coarse).as_nanos())
    }

    fn precise(&self) -> Duration {
        self.precise.elapsed()
    }
}

/// A clock that moves only when the test advances it; clones share their time.
#[derive(Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Returns a clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock, in whole nanoseconds; it stops at 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.update(Ordering::AcqRel, Ordering::Acquire, |now| now.saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({:?})", self.now())
    }
}

/// Microseconds since 1970 by the system's clock, for versions that must grow over restarts.
#[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
pub(crate) fn unix_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
