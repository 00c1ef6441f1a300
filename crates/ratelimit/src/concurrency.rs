//! How many at a time, where the other limits say how many a period.

mod gradient;
#[cfg(feature = "tower")]
mod layer;
mod permit;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::store::{Standing, Store};
use crate::{CheckError, Clock, SystemClock};

pub use gradient::{Gradient, Outcome};
#[cfg(feature = "tower")]
pub use layer::{ConcurrencyLayer, LimitConcurrency};
pub use permit::Permit;

use permit::{Course, Slot};

/// How a [`ConcurrencyLimiter`] finds the limit of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Concurrency {
    /// So many at a time, the same for each key.
    Fixed(NonZeroU32),
    /// As many as the service behind bears, found for each key by how long its requests take.
    Adaptive(Gradient),
}

/// Bounds how many requests of a key are under way at once: of a tenant, so that a slow one doesn't take every place, or of a
/// service, so that it isn't given more than it bears.
///
/// A [`Permit`] is a place, and gives it back when it is dropped. Nobody waits here: where there is no place a request is
/// refused at once, for a queue in front of a service that is too slow makes it slower.
///
/// ```
/// use std::num::NonZeroU32;
/// use tidegate_ratelimit::{Concurrency, ConcurrencyLimiter};
///
/// let reports = ConcurrencyLimiter::builder("reports", Concurrency::Fixed(NonZeroU32::MIN)).build();
/// let first = reports.try_acquire("tenant-1")?;
/// assert!(reports.try_acquire("tenant-1").is_err());
/// assert!(reports.try_acquire("tenant-2").is_ok());
/// first.succeeded();
/// assert!(reports.try_acquire("tenant-1").is_ok());
/// # Ok::<_, tidegate_ratelimit::AcquireError>(())
/// ```
///
/// - **Memory:** at most [`max_keys`](ConcurrencyLimiterBuilder::max_keys) keys, some 300 bytes each. A new one takes the place of one
///   with nothing under way: with an adaptive limit of the one with the lowest, which is then found anew. If all have something
///   under way, a new key is refused with [`CheckError::Full`].
/// - **Each process** counts for itself.
/// - Cost: a lock of one shard to acquire, one of the key to give back where the limit is adaptive.
pub struct ConcurrencyLimiter {
    name: String,
    rule: Concurrency,
    retry_after: Duration,
    clock: Arc<dyn Clock>,
    store: Store<Arc<Slot>>,
    seed: RandomState,
}

/// Collects the options of a [`ConcurrencyLimiter`]; see [`ConcurrencyLimiter::builder`].
pub struct ConcurrencyLimiterBuilder {
    name: String,
    rule: Concurrency,
    retry_after: Duration,
    max_keys: usize,
    clock: Arc<dyn Clock>,
}

/// Why there is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// As many of the key are under way as may be.
    #[error("{limit} at a time are under way")]
    AtLimit {
        /// How many at a time.
        limit: u32,
        /// When to come back, by the limiter's options: when a place is free nobody knows.
        retry_after: Duration,
    },
    /// The key is too long, or there is no room for it.
    #[error(transparent)]
    Key(#[from] CheckError),
}

/// Counters of one concurrency limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConcurrencyStats {
    /// Permits given.
    pub admitted: u64,
    /// Requests for which there was no place.
    pub refused: u64,
    /// Requests whose key was too long, or had no room.
    pub failed: u64,
    /// Permits that are not back yet.
    pub in_flight: u64,
    /// Keys held in memory.
    pub tracked_keys: u64,
}

const DEFAULT_MAX_KEYS: usize = 10_000;
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

impl ConcurrencyLimiterBuilder {
    /// Holds at most `n` keys, at least one; 10,000 unless set.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Tells who is refused to come back after so long; a second unless set.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Takes time from `clock`; [`SystemClock`] unless set. Only adaptive limits ask it.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> ConcurrencyLimiter {
        let Self { name, rule, retry_after, max_keys, clock } = self;
        ConcurrencyLimiter { name, rule, retry_after, clock, store: Store::new(max_keys), seed: RandomState::new() }
    }
}

impl ConcurrencyLimiter {
    /// Starts a limiter of what `rule` says for each key.
    pub fn builder(name: impl Into<String>, rule: Concurrency) -> ConcurrencyLimiterBuilder {
        ConcurrencyLimiterBuilder {
            name: name.into(),
            rule,
            retry_after: DEFAULT_RETRY_AFTER,
            max_keys: DEFAULT_MAX_KEYS,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The limiter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes a place for `key`, if there is one now.
    ///
    /// # Errors
    /// [`AcquireError`] when there is none.
    pub fn try_acquire(&self, key: &str) -> Result<Permit, AcquireError> {
        let mut place = self.store.lock(key);
        let taken = place.with(standing, || Arc::new(self.slot(key)), |slot| Slot::take(slot, &self.clock));
        place.count(&taken, Result::is_ok);
        match taken? {
            Ok(permit) => Ok(permit),
            Err(limit) => Err(AcquireError::AtLimit { limit, retry_after: self.retry_after }),
        }
    }

    /// How many at a time the key may have under way now.
    pub fn limit(&self, key: &str) -> u32 {
        match self.store.lock(key).get() {
            Some(slot) => slot.limit.load(Ordering::Relaxed),
            None => self.slot(key).limit.into_inner(),
        }
    }

    /// How many of the key are under way.
    pub fn in_flight(&self, key: &str) -> u32 {
        self.store.lock(key).get().map_or(0, |slot| slot.in_flight.load(Ordering::Relaxed))
    }

    /// Exact counters since the limiter was built. Walks all keys held: for dashboards.
    pub fn stats(&self) -> ConcurrencyStats {
        let in_flight = Cell::new(0);
        let counted = self.store.stats(|slot| {
            in_flight.set(in_flight.get() + u64::from(slot.in_flight.load(Ordering::Relaxed)));
            (0, false)
        });
        ConcurrencyStats {
            admitted: counted.allowed,
            refused: counted.denied,
            failed: counted.failed,
            in_flight: in_flight.get(),
            tracked_keys: counted.tracked_keys,
        }
    }

    fn slot(&self, key: &str) -> Slot {
        match self.rule {
            Concurrency::Fixed(limit) => Slot::new(limit.get(), None),
            Concurrency::Adaptive(gradient) => {
                let state = gradient.begin(self.clock.now(), self.seed.hash_one(key));
                Slot::new(Gradient::limit(&state), Some(Course::new(gradient, state)))
            }
        }
    }
}

fn standing(slot: &Arc<Slot>) -> Standing {
    if slot.in_flight.load(Ordering::Relaxed) > 0 {
        return Standing::Pinned;
    }
    match &slot.course {
        None => Standing::Expired,
        Some(_) => Standing::Live(0, u64::from(slot.limit.load(Ordering::Relaxed))),
    }
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiter").field("name", &self.name).field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl fmt::Debug for ConcurrencyLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiterBuilder")
            .field("name", &self.name)
            .field("rule", &self.rule)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
