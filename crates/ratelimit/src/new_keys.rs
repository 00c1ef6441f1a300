//! A cap on the number of new keys per second that reach another limiter.

mod known;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::key::ensure_short;
use crate::{
    Algorithm, CheckError, Clock, Decision, Limiter, LimiterDecorator, LimiterStats, MemoryLimiter, Quota, QuotaError,
    SlidingWindow, Timestamp, TokenBucket, TokenBucketState,
};
use known::Known;

/// Forwards at most a given number of new keys per second to another limiter, and decides on
/// further new keys itself.
///
/// Redis has no cap on keys, so random identities would fill the server. Here a recently seen key
/// is **known**, and its requests are always forwarded. A new key is forwarded while the cap allows
/// it, and is then known. A new key beyond the cap is refused if the inner limiters [know without a
/// store](Limiter::known_denial) that it is. Otherwise it is counted in one bucket that all such
/// keys share. The bucket has the quota of a single key of the inner limiter unless
/// [set](NewKeysBuilder::overflow).
///
/// During a flood, all new keys together therefore get as much as one client. A legitimate new key
/// competes for that amount; known keys are not affected. The `retry_after` of a refused new key
/// refers to the shared bucket. Its next request is forwarded as soon as the cap allows it.
///
/// In any time `t`, in seconds, at most `cap × (1 + t)` unknown keys are forwarded (the cap is a
/// bucket with a burst of one second), plus those that return after they were known: at most
/// [`max_known`](NewKeysBuilder::max_known).
///
/// - **Memory:** 8 bytes for each known key, 1 MiB for the default of 131,072. Above that number,
///   keys that were seen once are removed first and are new when they return. An unknown key is a
///   false positive with a probability of 8 in 2³⁹.
/// - **Known keys:** a key that was seen in two different seconds is a regular. It is known for one
///   hour after its last request, unless [set](NewKeysBuilder::idle), as long as regulars take at
///   most about half of the capacity. A flood of keys that are seen once does not shorten that
///   time. A key that was seen once is known until about as many other keys have arrived as there
///   is capacity: with 10,000 new keys per second for at least 5 s, or 2 s if regulars take most of
///   the capacity. Keys of a flood that each arrive twice are regulars too and may displace others.
///   Keys are hashed with a random key, so clients cannot choose keys that displace others.
/// - **Blocked keys:** during a flood, a key that is blocked by the inner limiter and no longer
///   known here is refused if an inner [`DenyCache`](crate::DenyCache), `FallbackLimiter` or
///   [`MemoryLimiter`] holds its denial or block. Otherwise it shares the bucket. A block that
///   another node has ended may remain in force until the key is known again or the block would
///   have ended.
/// - **Each process** has its own cap and known keys: `n` processes forward `n` times as many.
/// - What the shared bucket admits is not charged in the inner limiter. [`stats`](Limiter::stats)
///   include these checks. `tracked_keys` and similar counters are those of the inner limiter.
///
/// For a known key this adds one hash and access to one cache line, and no lock.
pub struct NewKeys<L> {
    inner: L,
    clock: Clock,
    hasher: RandomState,
    known: Known,
    cap: TokenBucket,
    left: Mutex<TokenBucketState>,
    overflow: MemoryLimiter<SlidingWindow>,
    /// Whether the shared bucket uses the quota of the inner limiter.
    follows: bool,
    capped: AtomicU64,
}

/// Builder of a [`NewKeys`]; see [`NewKeys::builder`].
pub struct NewKeysBuilder<L> {
    inner: L,
    cap: Quota,
    overflow: Option<Quota>,
    max_known: usize,
    idle: Duration,
    clock: Clock,
}

const SHARED: &str = "new keys";
const DEFAULT_MAX_KNOWN: usize = 131_072;
const DEFAULT_IDLE: Duration = Duration::from_hours(1);

impl<L: Limiter> NewKeysBuilder<L> {
    /// Sets the quota that all new keys beyond the cap share. By default that of a single key of
    /// the inner limiter.
    #[must_use]
    pub fn overflow(mut self, quota: Quota) -> Self {
        self.overflow = Some(quota);
        self
    }

    /// Sets the number of known keys; 131,072 by default. Rounded up to a power of two, at most
    /// 134,217,728, which take 1 GiB.
    #[must_use]
    pub fn max_known(mut self, n: usize) -> Self {
        self.max_known = n;
        self
    }

    /// Sets how long a regular is known after its last request, in whole seconds. At least one
    /// second, one hour by default.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    clock_setter!(clock);

    /// Builds the limiter.
    pub fn build(self) -> NewKeys<L> {
        let Self { inner, cap, overflow, max_known, idle, clock } = self;
        let (cap, quota) = (TokenBucket::new(cap), overflow.unwrap_or(inner.quota()));
        let shared = MemoryLimiter::builder(inner.name(), SlidingWindow::new(quota)).max_keys(1).clock(&clock);
        NewKeys {
            left: Mutex::new(cap.initial(Timestamp::now(&clock))),
            overflow: shared.build(),
            follows: overflow.is_none(),
            known: Known::new(max_known, idle),
            hasher: RandomState::new(),
            capped: AtomicU64::new(0),
            inner,
            clock,
            cap,
        }
    }
}

impl<L: Limiter> NewKeys<L> {
    /// Returns a builder for a cap of `cap_per_second` new keys per second in front of `inner`.
    ///
    /// # Errors
    /// [`QuotaError`] if the cap is zero or above [`Quota::MAX_LIMIT`].
    pub fn builder(inner: L, cap_per_second: u64) -> Result<NewKeysBuilder<L>, QuotaError> {
        Ok(NewKeysBuilder {
            inner,
            cap: Quota::per_second(cap_per_second)?,
            overflow: None,
            max_known: DEFAULT_MAX_KNOWN,
            idle: DEFAULT_IDLE,
            clock: Clock::system(),
        })
    }

    /// The inner limiter.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// Number of checks and penalties of new keys that were not forwarded because of the cap.
    pub fn capped(&self) -> u64 {
        self.capped.load(Ordering::Relaxed)
    }

    /// Whether the key is forwarded. Too long ones are, for the inner limiter's error.
    fn passes(&self, key: &str) -> bool {
        if ensure_short(key).is_err() {
            return true;
        }
        let (now, hash) = (Timestamp::now(&self.clock), self.hasher.hash_one(key));
        if self.known.see(hash, now) {
            return true;
        }
        let passes = self.has_room(now);
        if passes {
            self.known.add(hash, now);
        } else {
            self.capped.fetch_add(1, Ordering::Relaxed);
        }
        passes
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.cap.check(&mut left, now, 1).is_ok_and(|decision| decision.is_allowed())
    }

    /// Same as [`check`](Limiter::check), for a caller that handles new keys beyond the cap itself.
    /// For those it returns `None`, unless the inner limiters [know](Limiter::known_denial) that
    /// the key is refused. Charges nothing to the shared bucket.
    pub async fn check_unless_capped(&self, key: &str, cost: u64) -> Option<Result<Decision, CheckError>> {
        if self.passes(key) {
            return Some(self.inner.check(key, cost).await);
        }
        self.inner.known_denial(key, cost).map(Ok)
    }

    /// Marks the key as a known regular: its requests are forwarded regardless of the cap.
    pub fn know(&self, key: &str) {
        let (now, hash) = (Timestamp::now(&self.clock), self.hasher.hash_one(key));
        if !self.known.see(hash, now) {
            self.known.add_regular(hash, now);
        }
    }

    fn decide_here(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.inner.known_denial(key, cost) {
            Some(denial) => Ok(denial),
            None => self.overflow.check_now(SHARED, cost),
        }
    }
}

/// A peek is always forwarded, because it creates no key. So is a reward: charges of the shared
/// bucket are not refunded.
#[async_trait]
impl<L: Limiter> LimiterDecorator for NewKeys<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.inner
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner.accepts(quota)?;
        if self.follows { self.overflow.accepts(quota) } else { Ok(()) }
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner.set_quota(quota)?;
        if self.follows { self.overflow.set_quota(quota) } else { Ok(()) }
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        if self.passes(key) { self.inner.check(key, cost).await } else { self.decide_here(key, cost) }
    }

    /// Beyond the cap, the shared bucket is charged.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        if self.passes(key) { self.inner.penalty(key, cost).await } else { self.overflow.penalty(SHARED, cost).await }
    }

    /// A manually blocked key becomes known regardless of the cap, so that the block is enforced.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.inner.block(key, duration).await?;
        self.know(key);
        Ok(())
    }

    fn stats(&self) -> LimiterStats {
        let (inner, overflow) = (self.inner.stats(), self.overflow.stats());
        LimiterStats {
            allowed: inner.allowed + overflow.allowed,
            denied: inner.denied + overflow.denied,
            failed: inner.failed + overflow.failed,
            ..inner
        }
    }
}

impl<L: fmt::Debug> fmt::Debug for NewKeys<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKeys").field("cap", &self.cap.quota()).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<L: fmt::Debug> fmt::Debug for NewKeysBuilder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKeysBuilder").field("cap", &self.cap).field("inner", &self.inner).finish_non_exhaustive()
    }
}
