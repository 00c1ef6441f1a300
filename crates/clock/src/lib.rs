//! Time as a value: pass a [`Clock`] to a component, and a test decides what time it is.
//!
//! The cache, the rate limits, the queue, the monitoring and the stores of `tidegate-sync` take
//! this type. So one [`ManualClock`] moves them all in a test.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_clock::{Clock, ManualClock};
//!
//! struct Token {
//!     clock: Clock,
//!     expires: Duration,
//! }
//!
//! impl Token {
//!     fn new(clock: impl Into<Clock>, ttl: Duration) -> Self {
//!         let clock = clock.into();
//!         Self { expires: clock.now() + ttl, clock }
//!     }
//!
//!     fn is_valid(&self) -> bool {
//!         self.clock.now() < self.expires
//!     }
//! }
//!
//! let hour = Duration::from_secs(3600);
//! assert!(Token::new(Clock::system(), hour).is_valid());
//!
//! let clock = ManualClock::new();
//! let token = Token::new(&clock, hour);
//! clock.advance(hour);
//! assert!(!token.is_valid());
//! ```
//!
//! # Which reading
//!
//! | method | reading | use it for |
//! |---|---|---|
//! | [`Clock::now`] | monotonic time since the origin | durations, deadlines |
//! | [`Clock::coarse`] | the same in steps of 1 to 4 ms, in a few nanoseconds | expiry on a hot path |
//! | [`Clock::steady`] | Unix time of the origin plus the monotonic time since | calendar windows that must not go back |
//! | [`Clock::wall`] | the machine's wall clock | dates that other processes read |
//!
//! # Guarantees
//!
//! - The system clock is read without allocation, lock or virtual call.
//! - Clones of a clock have the same origin, so their readings can be compared.
//! - `now`, `coarse` and `steady` of a system clock never go back. Only `wall` follows corrections
//!   of the system time. `coarse` may be up to 4 ms behind `now`.
//! - A [`ManualClock`] changes only through its methods. Arithmetic saturates: no reading panics.
//! - A [`Source`] replaces the system's clocks, for example with tokio's paused time.

mod manual;
mod system;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use manual::ManualClock;

use manual::ManualTime;
use system::SystemTimes;

/// A source of time that is cheap to clone and to read.
#[derive(Clone)]
pub struct Clock(Kind);

/// An enum, so that a reading of the system clock is inlined.
#[derive(Clone)]
enum Kind {
    System(SystemTimes),
    Manual(Arc<ManualTime>),
    Custom { source: Arc<dyn Source>, unix_origin: Duration },
}

/// Time from elsewhere, for [`Clock::from_source`].
pub trait Source: Send + Sync + 'static {
    /// Returns the monotonic time since an origin of the source's choice.
    fn now(&self) -> Duration;

    /// Returns the wall-clock time.
    fn wall(&self) -> SystemTime;
}

impl Clock {
    /// Creates a clock of the machine's time. Its origin is now.
    pub fn system() -> Self {
        Self(Kind::System(SystemTimes::start()))
    }

    /// Creates a clock that reads `source`. It reads both times of the source once, to know the
    /// Unix time of the source's origin.
    pub fn from_source(source: impl Source) -> Self {
        let unix_origin = since_epoch(source.wall()).saturating_sub(source.now());
        Self(Kind::Custom { source: Arc::new(source), unix_origin })
    }

    /// Returns the monotonic time since the clock's origin.
    #[inline]
    pub fn now(&self) -> Duration {
        match &self.0 {
            Kind::System(times) => times.now(),
            Kind::Manual(time) => time.now(),
            Kind::Custom { source, .. } => source.now(),
        }
    }

    /// Returns the monotonic time since the clock's origin in steps of up to 4 ms, for a fraction
    /// of the cost of [`now`](Self::now). Only the system clock has a coarse reading. On other
    /// clocks this is `now`.
    #[inline]
    pub fn coarse(&self) -> Duration {
        match &self.0 {
            Kind::System(times) => times.coarse(),
            Kind::Manual(time) => time.now(),
            Kind::Custom { source, .. } => source.now(),
        }
    }

    /// Returns the Unix time of the clock's origin plus the monotonic time since then. It ignores
    /// later corrections of the system time.
    #[inline]
    pub fn steady(&self) -> Duration {
        match &self.0 {
            Kind::System(times) => times.steady(),
            Kind::Manual(time) => time.steady(),
            Kind::Custom { source, unix_origin } => unix_origin.saturating_add(source.now()),
        }
    }

    /// Returns the wall-clock time. It may go back when the system time is corrected.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System(_) => SystemTimes::wall(),
            Kind::Manual(time) => time.wall(),
            Kind::Custom { source, .. } => source.wall(),
        }
    }

    /// Returns the wall-clock time since the Unix epoch, zero if it is before the epoch.
    pub fn unix(&self) -> Duration {
        since_epoch(self.wall())
    }
}

/// For code that takes a [`Source`] as a type parameter.
impl Source for Clock {
    #[inline]
    fn now(&self) -> Duration {
        Self::now(self)
    }

    fn wall(&self) -> SystemTime {
        Self::wall(self)
    }
}

/// The system clock.
impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        (*clock).clone()
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        (**clock).clone()
    }
}

impl From<&Self> for Clock {
    fn from(clock: &Self) -> Self {
        clock.clone()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::System(_) => f.write_str("Clock::system"),
            Kind::Manual(time) => write!(f, "ManualClock({:?})", time.steady()),
            Kind::Custom { .. } => f.write_str("Clock::from_source"),
        }
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
