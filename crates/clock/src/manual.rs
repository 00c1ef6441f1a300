//! A clock for tests.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Clock, Kind, since_epoch};

/// A clock that moves only when a test moves it. Clones share their time.
///
/// It dereferences to its [`Clock`], and whatever takes a clock takes `&manual` or `manual.clone()`
/// as well.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use tidegate_clock::{Clock, ManualClock};
///
/// let manual = ManualClock::new();
/// let clock = Clock::from(&manual);
/// manual.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Duration::from_secs(5));
/// assert_eq!(clock.wall(), UNIX_EPOCH + Duration::from_secs(5));
///
/// manual.set_wall(UNIX_EPOCH); // someone corrects the system time
/// assert_eq!((clock.now(), clock.wall()), (Duration::from_secs(5), UNIX_EPOCH));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    time: Arc<ManualTime>,
    /// The same time, for [`Deref`].
    clock: Clock,
}

impl ManualClock {
    /// Creates a clock at the Unix epoch.
    pub fn new() -> Self {
        Self::at(UNIX_EPOCH)
    }

    /// Creates a clock whose origin is at `time`. A time before the Unix epoch counts as the epoch.
    pub fn at(time: impl Into<SystemTime>) -> Self {
        let unix_origin = AtomicU64::new(micros(time.into()));
        let time = Arc::new(ManualTime { elapsed: AtomicU64::new(0), unix_origin, wall_ahead: AtomicI64::new(0) });
        Self { clock: Clock(Kind::Manual(Arc::clone(&time))), time }
    }

    /// Moves all readings forward. Monotonic time stops at 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.time.elapsed.update(Ordering::SeqCst, Ordering::SeqCst, |elapsed| elapsed.saturating_add(by));
    }

    /// Sets steady and wall time to `time`, in whole microseconds, and moves monotonic time by the
    /// same amount. `time` may be earlier: a real monotonic clock never goes back, but code that
    /// must survive this can be tested with it. Monotonic time stops at the origin.
    pub fn set(&self, time: impl Into<SystemTime>) {
        let (to, old) = (micros(time.into()), self.time.steady());
        let step = |steps: u128| u64::try_from(steps).unwrap_or(u64::MAX);
        let target = Duration::from_micros(to);
        let (forward, back) = (target.saturating_sub(old).as_nanos(), old.saturating_sub(target).as_nanos());
        let elapsed = self.time.elapsed.load(Ordering::SeqCst);
        let elapsed = elapsed.saturating_add(step(forward)).saturating_sub(step(back));
        // Whole microseconds after the origin, so that the sum is exactly `time`.
        let elapsed = elapsed / 1_000 * 1_000;
        self.time.wall_ahead.store(0, Ordering::SeqCst);
        self.time.elapsed.store(elapsed, Ordering::SeqCst);
        self.time.unix_origin.store(to.saturating_sub(elapsed / 1_000), Ordering::SeqCst);
    }

    /// Sets wall time alone, as a correction of the system time does. Resolution: 1 µs.
    pub fn set_wall(&self, time: impl Into<SystemTime>) {
        let steady = u64::try_from(self.time.steady().as_micros()).unwrap_or(u64::MAX);
        let ahead = i128::from(micros(time.into())) - i128::from(steady);
        let ahead = i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        self.time.wall_ahead.store(ahead, Ordering::SeqCst);
    }
}

/// At the Unix epoch.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for ManualClock {
    type Target = Clock;

    fn deref(&self) -> &Clock {
        &self.clock
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clock.fmt(f)
    }
}

/// The readings of a manual clock. [`ManualClock::advance`] changes them together, by one store.
pub(crate) struct ManualTime {
    /// Monotonic time, in nanoseconds.
    elapsed: AtomicU64,
    /// Steady time when `elapsed` was zero, in microseconds since the Unix epoch.
    unix_origin: AtomicU64,
    /// Wall time minus steady time, in microseconds.
    wall_ahead: AtomicI64,
}

impl ManualTime {
    #[inline]
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::SeqCst))
    }

    #[inline]
    pub(crate) fn steady(&self) -> Duration {
        Duration::from_micros(self.unix_origin.load(Ordering::SeqCst)).saturating_add(self.now())
    }

    pub(crate) fn wall(&self) -> SystemTime {
        let ahead = self.wall_ahead.load(Ordering::SeqCst);
        let shift = Duration::from_micros(ahead.unsigned_abs());
        let steady = self.steady();
        let unix = if ahead < 0 { steady.saturating_sub(shift) } else { steady.saturating_add(shift) };
        // The sum fits on all platforms up to the year 30,000.
        UNIX_EPOCH.checked_add(unix).unwrap_or(UNIX_EPOCH)
    }
}

/// Whole microseconds since the Unix epoch.
fn micros(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_micros()).unwrap_or(u64::MAX)
}
