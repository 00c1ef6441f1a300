//! Limits on concurrent requests, in contrast to limits per period.

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
use crate::{CheckError, Clock, Timestamp};

pub use gradient::{Gradient, Outcome};
#[cfg(feature = "tower")]
pub use layer::{ConcurrencyLayer, LimitConcurrency};
pub use permit::Permit;

use permit::{Course, Slot};

/// How a [`ConcurrencyLimiter`] determines the limit of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Concurrency {
    /// A fixed number of concurrent requests, the same for each key.
    Fixed(NonZeroU32),
    /// A limit that is computed for each key from the duration of its requests.
    Adaptive(Gradient),
}

/// Limits the number of concurrent requests per key. The key can be a tenant, so that a slow one
/// does not use the whole capacity, or a service, so that it is not overloaded.
///
/// A [`Permit`] is held while a request runs and is released when it is dropped. No request waits:
/// at the limit, a request is refused immediately, because a queue in front of a slow service makes
/// it slower.
///
/// ```
/// use std::num::NonZeroU32;
/// use tidegate_ratelimit::{Concurrency, ConcurrencyLimiter};
///
/// let reports =
///     ConcurrencyLimiter::builder("reports", Concurrency::Fixed(NonZeroU32::MIN)).build();
/// let first = reports.try_acquire("tenant-1")?;
/// assert!(reports.try_acquire("tenant-1").is_err());
/// assert!(reports.try_acquire("tenant-2").is_ok());
/// first.succeeded();
/// assert!(reports.try_acquire("tenant-1").is_ok());
/// # Ok::<_, tidegate_ratelimit::AcquireError>(())
/// ```
///
/// - **Memory:** at most [`max_keys`](ConcurrencyLimiterBuilder::max_keys) keys, about 300 bytes
///   each. A new key replaces one without requests in flight. With an adaptive limit it replaces
///   the one with the lowest limit, which is then determined again. If all keys have requests in
///   flight, a new key is refused with [`CheckError::Full`].
/// - **Each process** counts for itself.
/// - Cost: a lock on one shard to acquire. With an adaptive limit, also a lock on the key to
///   release.
pub struct ConcurrencyLimiter {
    name: String,
    rule: Concurrency,
    retry_after: Duration,
    clock: Clock,
    store: Store<Arc<Slot>>,
    seed: RandomState,
}

/// Builder of a [`ConcurrencyLimiter`]; see [`ConcurrencyLimiter::builder`].
pub struct ConcurrencyLimiterBuilder {
    name: String,
    rule: Concurrency,
    retry_after: Duration,
    max_keys: usize,
    clock: Clock,
}

/// Reason why no permit was acquired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The maximum number of requests of the key is running.
    #[error("{limit} at a time are under way")]
    AtLimit {
        /// Maximum number of concurrent requests.
        limit: u32,
        /// When to retry, according to the limiter's options. The actual time is unknown.
        retry_after: Duration,
    },
    /// The key is too long, or there is no capacity for it.
    #[error(transparent)]
    Key(#[from] CheckError),
}

/// Counters of one concurrency limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConcurrencyStats {
    /// Number of acquired permits.
    pub admitted: u64,
    /// Number of requests that were refused at the limit.
    pub refused: u64,
    /// Number of requests whose key was too long or had no capacity.
    pub failed: u64,
    /// Number of permits that are not yet released.
    pub in_flight: u64,
    /// Number of keys in memory.
    pub tracked_keys: u64,
}

const DEFAULT_MAX_KEYS: usize = 10_000;
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

impl ConcurrencyLimiterBuilder {
    /// Sets the maximum number of keys; at least one, 10,000 by default.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Sets the time after which a refused client should retry; one second by default.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Sets the clock; the system clock by default. Only adaptive limits read it.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> ConcurrencyLimiter {
        let Self { name, rule, retry_after, max_keys, clock } = self;
        ConcurrencyLimiter { name, rule, retry_after, clock, store: Store::new(max_keys), seed: RandomState::new() }
    }
}

impl ConcurrencyLimiter {
    /// Returns a builder for a limiter that applies `rule` to each key.
    pub fn builder(name: impl Into<String>, rule: Concurrency) -> ConcurrencyLimiterBuilder {
        ConcurrencyLimiterBuilder {
            name: name.into(),
            rule,
            retry_after: DEFAULT_RETRY_AFTER,
            max_keys: DEFAULT_MAX_KEYS,
            clock: Clock::system(),
        }
    }

    /// The limiter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Acquires a permit for `key` if one is free now.
    ///
    /// # Errors
    /// [`AcquireError`] if there is none.
    pub fn try_acquire(&self, key: &str) -> Result<Permit, AcquireError> {
        let mut place = self.store.lock(key);
        let taken = place.with(standing, || Arc::new(self.slot(key)), |slot| Slot::take(slot, &self.clock));
        place.count(&taken, Result::is_ok);
        match taken? {
            Ok(permit) => Ok(permit),
            Err(limit) => Err(AcquireError::AtLimit { limit, retry_after: self.retry_after }),
        }
    }

    /// Current maximum number of concurrent requests of the key.
    pub fn limit(&self, key: &str) -> u32 {
        match self.store.lock(key).get() {
            Some(slot) => slot.limit.load(Ordering::Relaxed),
            None => self.slot(key).limit.into_inner(),
        }
    }

    /// Current number of requests of the key.
    pub fn in_flight(&self, key: &str) -> u32 {
        self.store.lock(key).get().map_or(0, |slot| slot.in_flight.load(Ordering::Relaxed))
    }

    /// Exact counters since the limiter was built. Iterates over all keys: use it for dashboards.
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
                let state = gradient.begin(Timestamp::now(&self.clock), self.seed.hash_one(key));
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
