//! A cache of denials that answers repeated requests without a call to the limiter.

use std::fmt;
use std::future::{Future, ready};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Forgetting, Limiter, LimiterDecorator};
use crate::stats::LimiterStats;
use crate::store::{Standing, Store};
use crate::timestamp::whole_micros;
use crate::{CheckError, Clock, Decision, Denial, Quota, QuotaError, Timestamp};

/// Caches each denial of another limiter until its `retry_after`, and answers checks with the same
/// or a higher cost from the cache. With Redis, such a refusal costs no command.
///
/// A denial is cached for at most [`hold`](DenyCacheBuilder::hold), one second by default. During
/// that time this process does not see an unblock, a reset, a reward or a quota increase of
/// *another* node. Those made through this limiter take effect immediately. After that time, one
/// check is forwarded again.
///
/// - Durations count on the clock of this process from the time at which the denial arrived, so no
///   client is asked to return earlier than the inner limiter said. `retry_after`, `reset_after`
///   and `blocked_for` count down. `remaining` is as of the arrival of the denial. For a higher
///   cost than the refused one, `retry_after` is a lower bound.
/// - The cache never admits anything. A cost that can never fit is an error, as without the cache.
/// - It holds at most [`max_keys`](DenyCacheBuilder::max_keys) keys. Above that, the denials that
///   end first are removed; each costs one more check.
/// - [`stats`](Limiter::stats) are those of the inner limiter, plus the cache's denials.
///
/// An answer costs a lock and, through the trait, a boxed future. [`cached`](Self::cached) needs
/// none.
pub struct DenyCache<L> {
    inner: L,
    clock: Clock,
    hold: u64,
    store: Store<Held>,
    refused: AtomicU64,
    changes: Changes,
}

/// Builder of a [`DenyCache`]; see [`DenyCache::builder`].
pub struct DenyCacheBuilder<L> {
    inner: L,
    clock: Clock,
    hold: Duration,
    max_keys: usize,
}

/// A cached denial, and how often it was returned.
struct Held {
    denial: Denial,
    cost: u64,
    /// Maximum cost that is answered. A higher one may never fit, which is an error.
    greatest: u64,
    since: Timestamp,
    /// End of validity. Zero if no denial is cached and the entry only counts refusals.
    until: Timestamp,
    refused: u64,
}

enum Look {
    Denied(Denial),
    /// The inner limiter must be called. A denial of another cost may be cached.
    Ask {
        holds_other: bool,
    },
}

const DEFAULT_HOLD: Duration = Duration::from_secs(1);
const DEFAULT_MAX_KEYS: usize = 10_000;

impl<L: Limiter> DenyCacheBuilder<L> {
    /// Sets the maximum time for which a denial is cached; one second by default.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Sets the maximum number of keys; at least one, 10,000 by default (about 3 MB).
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    clock_setter!(clock);

    /// Builds the cache.
    pub fn build(self) -> DenyCache<L> {
        let Self { inner, clock, hold, max_keys } = self;
        let (store, changes) = (Store::new(max_keys), Changes::default());
        DenyCache { inner, clock, hold: whole_micros(hold), store, refused: AtomicU64::new(0), changes }
    }
}

impl<L: Limiter> DenyCache<L> {
    /// Caches the denials of `inner` with the default options.
    pub fn new(inner: L) -> Self {
        Self::builder(inner).build()
    }

    /// Returns a builder for a cache of the denials of `inner`.
    pub fn builder(inner: L) -> DenyCacheBuilder<L> {
        let clock = Clock::system();
        DenyCacheBuilder { inner, clock, hold: DEFAULT_HOLD, max_keys: DEFAULT_MAX_KEYS }
    }

    /// The limiter whose denials are cached.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// The cached denial for a check, counted like it. `None` if there is none. No allocation.
    pub fn cached(&self, key: &str, cost: u64) -> Option<Decision> {
        match self.look(key, cost, true) {
            Look::Denied(denial) => Some(Decision::Denied(denial)),
            Look::Ask { .. } => None,
        }
    }

    fn look(&self, key: &str, cost: u64, counts: bool) -> Look {
        let mut place = self.store.lock(key);
        let Some((_, held)) = place.get_mut() else { return Look::Ask { holds_other: false } };
        let now = Timestamp::now(&self.clock);
        if now >= held.until {
            return Look::Ask { holds_other: false };
        }
        if cost < held.cost || cost > held.greatest {
            return Look::Ask { holds_other: true };
        }
        held.refused += u64::from(counts);
        let denial = held.at(now);
        drop(place);
        self.refused.fetch_add(u64::from(counts), Ordering::Relaxed);
        Look::Denied(denial)
    }

    /// Calls the inner limiter. Caches a denial unless the key was changed in the meantime.
    async fn ask(&self, key: &str, cost: u64, holds_other: bool) -> Result<Decision, CheckError> {
        let before = self.changes.of(key);
        let result = self.inner.check(key, cost).await;
        match &result {
            Ok(Decision::Denied(denial)) => self.remember(key, cost, denial, before),
            // The new charge makes the higher cost wait for longer than the cached denial says.
            Ok(Decision::Allowed(_)) if holds_other => self.drop_held(key),
            _ => {}
        }
        result
    }

    fn drop_held(&self, key: &str) {
        if let Some((_, held)) = self.store.lock(key).get_mut() {
            held.until = Timestamp::MIN;
        }
    }

    fn remember(&self, key: &str, cost: u64, denial: &Denial, before: u64) {
        let mut place = self.store.lock(key);
        // Under the lock that a change takes after it has counted itself, so none is missed.
        if self.changes.of(key) != before {
            return;
        }
        let now = Timestamp::now(&self.clock);
        // A key above its limit when a block ends gets a strike, so the limiter must be called.
        let lasts = denial.blocked_for.unwrap_or(Duration::MAX).min(denial.retry_after);
        let until = now.saturating_add(Duration::from_micros(whole_micros(lasts).min(self.hold)));
        let standing =
            |held: &Held| if now >= held.until { Standing::Expired } else { Standing::Live(0, held.until.as_micros()) };
        // With several quotas, the one that refused may not be the one that limits the cost.
        let quota = self.inner.quota();
        let greatest = if denial.quota == quota { denial.limit } else { denial.limit.min(quota.limit()) };
        let fresh = || Held { denial: *denial, cost, greatest, since: now, until, refused: 0 };
        // Nothing is pinned, so there is capacity. A key that is too long has no decision.
        let _ = place.with(standing, fresh, |held| *held = Held { refused: held.refused, ..fresh() });
    }

    /// Removes the cached denial of the key now, and again when the guard is dropped, so that a
    /// denial from in between is not kept.
    fn forget<'a>(&'a self, key: &'a str) -> Forgetting<impl Fn() + 'a> {
        Forgetting::begin(move || {
            self.changes.count(key);
            self.drop_held(key);
        })
    }
}

impl Held {
    fn at(&self, now: Timestamp) -> Denial {
        let passed = now.saturating_since(self.since);
        Denial {
            reset_after: self.denial.reset_after.saturating_sub(passed),
            retry_after: self.denial.retry_after.saturating_sub(passed),
            blocked_for: self.denial.blocked_for.map(|left| left.saturating_sub(passed)),
            ..self.denial
        }
    }
}

/// Counts changes of keys, so that a denial from before a change is not cached after it.
struct Changes {
    counters: [AtomicU64; 64],
    hasher: RandomState,
}

impl Default for Changes {
    fn default() -> Self {
        Self { counters: [const { AtomicU64::new(0) }; 64], hasher: RandomState::new() }
    }
}

impl Changes {
    fn counter(&self, key: &str) -> &AtomicU64 {
        let index = self.hasher.hash_one(key) % self.counters.len() as u64;
        &self.counters[usize::try_from(index).unwrap_or(0)]
    }

    fn of(&self, key: &str) -> u64 {
        self.counter(key).load(Ordering::SeqCst)
    }

    fn count(&self, key: &str) {
        self.counter(key).fetch_add(1, Ordering::SeqCst);
    }

    fn count_all(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl<L: Limiter> LimiterDecorator for DenyCache<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.inner
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner.set_quota(quota)?;
        self.changes.count_all();
        self.store.change(&(), || (), |(), held, ()| held.until = Timestamp::MIN);
        Ok(())
    }

    // Not an `async fn`: a cached answer needs no space for the inner limiter's future.
    fn check<'a, 'b, 'c>(
        &'a self,
        key: &'b str,
        cost: u64,
    ) -> Pin<Box<dyn Future<Output = Result<Decision, CheckError>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        match self.look(key, cost, true) {
            Look::Denied(denial) => Box::pin(ready(Ok(Decision::Denied(denial)))),
            Look::Ask { holds_other } => Box::pin(self.ask(key, cost, holds_other)),
        }
    }

    /// Answered from the cache like a check, but not counted; otherwise by the inner limiter.
    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.look(key, cost, false) {
            Look::Denied(denial) => Ok(Decision::Denied(denial)),
            Look::Ask { .. } => self.inner.peek(key, cost).await,
        }
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let _forgetting = self.forget(key);
        self.inner.penalty(key, cost).await
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let _forgetting = self.forget(key);
        self.inner.reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let _forgetting = self.forget(key);
        self.inner.reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let _forgetting = self.forget(key);
        self.inner.block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        let _forgetting = self.forget(key);
        self.inner.unblock(key).await
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        self.cached(key, cost).or_else(|| self.inner.known_denial(key, cost))
    }

    /// The statistics of the inner limiter, with the cache's denials added to `denied` and
    /// `top_denied`. When a key is evicted from the cache, its share of `top_denied` is lost, but
    /// not that of `denied`.
    fn stats(&self) -> LimiterStats {
        let mut stats = self.inner.stats();
        stats.denied += self.refused.load(Ordering::Relaxed);
        let known = std::mem::take(&mut stats.top_denied);
        for (key, denied) in &known {
            let here = self.store.lock(key).get().map_or(0, |held| held.refused);
            stats.rank_denied(key, denied + here);
        }
        for (key, here) in self.store.stats(|held| (held.refused, false)).top_denied {
            if !known.iter().any(|(name, _)| *name == key) {
                stats.rank_denied(&key, here);
            }
        }
        stats
    }
}

impl<L: Limiter> fmt::Debug for DenyCache<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyCache")
            .field("name", &self.inner.name())
            .field("hold_micros", &self.hold)
            .finish_non_exhaustive()
    }
}

impl<L: Limiter> fmt::Debug for DenyCacheBuilder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyCacheBuilder")
            .field("name", &self.inner.name())
            .field("hold", &self.hold)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
