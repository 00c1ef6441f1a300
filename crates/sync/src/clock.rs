//! Sources of time for the stores in memory. Only this file reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time for [`MemoryStore`](crate::MemoryStore).
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the epoch of this clock. Must be monotonic.
    fn now_us(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now_us(&self) -> u64 {
        (**self).now_us()
    }
}

/// The Unix time at its creation, advanced by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: u64,
}

impl SystemClock {
    /// Creates a clock. Reads the machine's time once.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: micros(since_epoch) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        self.started_at.saturating_add(micros(self.started.elapsed()))
    }
}

/// A clock that changes only when it is advanced, for tests. Clones share their time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock with the given time in microseconds.
    pub fn new(now_us: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_us)))
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// A time in November 2023.
    fn default() -> Self {
        Self::new(1_700_000_000_000_000)
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whole microseconds, limited to a hundred years, so that sums are below 2^53.
pub(crate) fn micros(duration: Duration) -> u64 {
    const CENTURY: u64 = 100 * 366 * 24 * 3600 * 1_000_000;
    u64::try_from(duration.as_micros()).map_or(CENTURY, |us| us.min(CENTURY))
}
