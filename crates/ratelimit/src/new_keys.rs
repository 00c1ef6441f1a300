//! A cap on how many new keys a second go on to the limiter behind.

mod known;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::limiter::ensure_short;
use crate::{
    Algorithm, CheckError, Clock, Decision, Limiter, LimiterStats, MemoryLimiter, Quota, QuotaError, Quotas,
    SlidingWindow, SystemClock, Timestamp, TokenBucket, TokenBucketState,
};
use known::Known;

/// Lets so many new keys a second through to another limiter, and decides over more of them itself.
///
/// Redis has no cap on keys: random identities fill the server. Here a key that came lately is **known** and always asked
/// for behind. One that is new goes on too while the cap has room, and is known then. Beyond the cap it is refused where the limiters
/// behind [know without asking](Limiter::known_denial) that it is; else it is counted in one
/// bucket that all such keys share, with the quota of a single key of the limiter behind unless
/// [set](NewKeysBuilder::overflow): so in a flood newcomers together get what one client gets, which one of them in luck
/// shares in, and who came regularly before notices nothing. A newcomer that is refused is told when the bucket has room again; it
/// goes on as soon as it comes while the cap has room.
///
/// In any time `t` at most `cap × (1 + t)` keys go on that were not known (the cap is a bucket with a second's burst), besides those
/// that come back after they were known: at most [`max_known`](NewKeysBuilder::max_known).
///
/// - **Memory:** 8 bytes for each known key, 1 MiB for the 131,072 unless set. Where there are more, those that came once are
///   forgotten first, and new when they come again. A stranger is taken for known with a probability of 8 in 2³⁹.
/// - **Known** is a key for an hour after it was last seen, unless [set](NewKeysBuilder::idle), if it was seen in two different seconds and
///   such keys are no more than about half of the places. A flood of keys that come once doesn't shorten that. One that came once is
///   known for as long as it takes for as many others to come: with 10,000 new keys a second some 5 s at least, if most places are taken
///   by regulars 2 s. A flood whose keys all come twice counts as regulars, and may displace others.
///   Keys are hashed under a random key, so nobody can choose some that displace others.
/// - A key that is blocked behind and forgotten here is refused in a flood where a [`DenyCache`](crate::DenyCache), a
///   `FallbackLimiter` or a [`MemoryLimiter`] behind holds its denial or block. Where none does, it is one of those that share the bucket. A
///   block that another node has ended may hold for it until it is known again or the block would have ended.
/// - **Each process** has its own cap and knows its own keys: `n` of them let `n` times as many through.
/// - What the shared bucket admits is charged to nobody behind. [`stats`](Limiter::stats) count it; `tracked_keys` and the like are
///   those of the limiter behind.
///
/// A known key costs one hash and one line of memory before the limiter behind is asked, no lock.
pub struct NewKeys<L> {
    inner: L,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    known: Known,
    cap: TokenBucket,
    left: Mutex<TokenBucketState>,
    overflow: MemoryLimiter<SlidingWindow>,
    /// Whether the shared bucket follows the quota of the limiter behind.
    follows: bool,
    capped: AtomicU64,
}

/// Collects the options of a [`NewKeys`]; see [`NewKeys::builder`].
pub struct NewKeysBuilder<L> {
    inner: L,
    cap: Quota,
    overflow: Option<Quota>,
    max_known: usize,
    idle: Duration,
    clock: Arc<dyn Clock>,
}

/// The key of the bucket that all share.
const SHARED: &str = "new keys";
const DEFAULT_MAX_KNOWN: usize = 131_072;
const DEFAULT_IDLE: Duration = Duration::from_hours(1);

impl<L: Limiter> NewKeysBuilder<L> {
    /// Counts the new keys beyond the cap against `quota`, all together; against that of a single key of the limiter behind
    /// unless set.
    #[must_use]
    pub fn overflow(mut self, quota: Quota) -> Self {
        self.overflow = Some(quota);
        self
    }

    /// Knows about `n` keys, 131,072 unless set: rounded up to a power of two, 134,217,728 at most, which are 1 GiB.
    #[must_use]
    pub fn max_known(mut self, n: usize) -> Self {
        self.max_known = n;
        self
    }

    /// Knows a regular key for so long after it was last seen, in whole seconds, at least one; an hour unless set.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Takes time from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> NewKeys<L> {
        let Self { inner, cap, overflow, max_known, idle, clock } = self;
        let (cap, quota) = (TokenBucket::new(cap), overflow.unwrap_or(inner.quota()));
        let shared =
            MemoryLimiter::builder(inner.name(), SlidingWindow::new(quota)).max_keys(1).clock(Arc::clone(&clock));
        NewKeys {
            left: Mutex::new(cap.initial(clock.now())),
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
    /// Starts a cap of so many new keys a second in front of `inner`.
    ///
    /// # Errors
    /// [`QuotaError`] when the cap is zero or above [`Quota::MAX_LIMIT`].
    pub fn builder(inner: L, cap_per_second: u64) -> Result<NewKeysBuilder<L>, QuotaError> {
        Ok(NewKeysBuilder {
            inner,
            cap: Quota::per_second(cap_per_second)?,
            overflow: None,
            max_known: DEFAULT_MAX_KNOWN,
            idle: DEFAULT_IDLE,
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// The limiter behind.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// Checks and penalties of new keys that the cap kept from the limiter behind.
    pub fn capped(&self) -> u64 {
        self.capped.load(Ordering::Relaxed)
    }

    /// Whether the key goes on. One that is too long does, to be told so.
    fn passes(&self, key: &str) -> bool {
        if ensure_short(key).is_err() {
            return true;
        }
        let (now, hash) = (self.clock.now(), self.hasher.hash_one(key));
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

    /// As [`check`](Limiter::check), for a caller that decides itself over new keys beyond the cap: those have no answer here, unless
    /// the limiters behind [know](Limiter::known_denial) that the key is refused. Nothing is charged to the shared bucket.
    pub async fn check_unless_capped(&self, key: &str, cost: u64) -> Option<Result<Decision, CheckError>> {
        if self.passes(key) {
            return Some(self.inner.check(key, cost).await);
        }
        self.inner.known_denial(key, cost).map(Ok)
    }

    /// Lets the key go on from now on, whatever the cap says, as one that came regularly.
    pub fn know(&self, key: &str) {
        let (now, hash) = (self.clock.now(), self.hasher.hash_one(key));
        if !self.known.see(hash, now) {
            self.known.add_regular(hash, now);
        }
    }

    /// A check of a key that doesn't go on.
    fn decide_here(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.inner.known_denial(key, cost) {
            Some(denial) => Ok(denial),
            None => self.overflow.check_now(SHARED, cost),
        }
    }
}

#[async_trait]
impl<L: Limiter> Limiter for NewKeys<L> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn quota(&self) -> Quota {
        self.inner.quota()
    }

    fn quotas(&self) -> Quotas {
        self.inner.quotas()
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

    /// Asks behind in any case: a peek makes no key.
    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.inner.peek(key, cost).await
    }

    /// Beyond the cap the shared bucket is charged.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        if self.passes(key) { self.inner.penalty(key, cost).await } else { self.overflow.penalty(SHARED, cost).await }
    }

    /// Asks behind in any case: what the shared bucket was charged isn't taken back.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.inner.reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.inner.reset(key).await
    }

    /// A key that is blocked by hand is known, whatever the cap says: the block must hold.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.inner.block(key, duration).await?;
        self.know(key);
        Ok(())
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.inner.unblock(key).await
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        self.inner.known_denial(key, cost)
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
