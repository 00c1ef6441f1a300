//! A denial that is remembered, so that repeating a refused request asks nobody.

use std::fmt;
use std::future::{Future, ready};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{Forgetting, Limiter, LimiterStats};
use crate::clock::whole_micros;
use crate::store::{Standing, Store};
use crate::{CheckError, Clock, Decision, Denial, Quota, QuotaError, Quotas, SystemClock, Timestamp};

/// Remembers each denial of another limiter until its `retry_after`, and answers the same or a greater cost from it: over
/// Redis a refused request then costs no command.
///
/// A denial is held for [`hold`](DenyCacheBuilder::hold) at most, a second unless set. That is how long an unblock, a reset, a
/// reward or a greater quota of *another* node goes unseen here; those made through this limiter are seen at once. After it one
/// check asks again.
///
/// - Time counts on this process' clock from the moment at which the denial arrived, so nobody is told to come back earlier
///   than the limiter behind said. `retry_after`, `reset_after` and `blocked_for` count down; `remaining` is as it was when the
///   denial arrived. For a greater cost than the one that was refused, `retry_after` is the least time it takes.
/// - It never admits anything, and what can never fit is an error as without it.
/// - It holds [`max_keys`](DenyCacheBuilder::max_keys) keys at most. Beyond, the denials that end first are forgotten, and cost
///   a check each.
/// - [`stats`](Limiter::stats) are those of the limiter behind with the denials counted that were answered here.
///
/// An answer from here costs a lock and, through the trait, a boxed future; [`cached`](Self::cached) does without.
pub struct DenyCache<L> {
    inner: L,
    clock: Box<dyn Clock>,
    hold: u64,
    store: Store<Held>,
    refused: AtomicU64,
    changes: Changes,
}

/// Collects the options of a [`DenyCache`]; see [`DenyCache::builder`].
pub struct DenyCacheBuilder<L> {
    inner: L,
    clock: Box<dyn Clock>,
    hold: Duration,
    max_keys: usize,
}

/// A denial, and how often it was repeated.
struct Held {
    denial: Denial,
    cost: u64,
    /// The greatest cost that is answered: one above it may never fit, and then is an error.
    greatest: u64,
    since: Timestamp,
    /// Zero where nothing is held, and the place only counts.
    until: Timestamp,
    refused: u64,
}

/// What is known here of a check.
enum Look {
    Denied(Denial),
    /// The limiter behind has to be asked; a denial of another cost may be held.
    Ask {
        holds_other: bool,
    },
}

const DEFAULT_HOLD: Duration = Duration::from_secs(1);
const DEFAULT_MAX_KEYS: usize = 10_000;

impl<L: Limiter> DenyCacheBuilder<L> {
    /// Holds a denial for so long at most; a second unless set.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Holds at most `n` keys, at least one; 10,000 unless set, some 3 MB.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Takes time from `clock`; [`SystemClock`], which is monotonic, unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the cache.
    pub fn build(self) -> DenyCache<L> {
        let Self { inner, clock, hold, max_keys } = self;
        let (store, changes) = (Store::new(max_keys), Changes::default());
        DenyCache { inner, clock, hold: whole_micros(hold), store, refused: AtomicU64::new(0), changes }
    }
}

impl<L: Limiter> DenyCache<L> {
    /// Remembers the denials of `inner` with the options unset.
    pub fn new(inner: L) -> Self {
        Self::builder(inner).build()
    }

    /// Starts a cache of the denials of `inner`.
    pub fn builder(inner: L) -> DenyCacheBuilder<L> {
        let clock = Box::new(SystemClock::new());
        DenyCacheBuilder { inner, clock, hold: DEFAULT_HOLD, max_keys: DEFAULT_MAX_KEYS }
    }

    /// The limiter whose denials are remembered.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// The denial that a check would be answered with from here, counted as such a check; `None` where the limiter behind has
    /// to be asked. No future, no allocation.
    pub fn cached(&self, key: &str, cost: u64) -> Option<Decision> {
        match self.look(key, cost, true) {
            Look::Denied(denial) => Some(Decision::Denied(denial)),
            Look::Ask { .. } => None,
        }
    }

    fn look(&self, key: &str, cost: u64, counts: bool) -> Look {
        let mut place = self.store.lock(key);
        let Some((_, held)) = place.get_mut() else { return Look::Ask { holds_other: false } };
        let now = self.clock.now();
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

    /// Asks, and remembers a denial unless something was changed meanwhile that may have ended it.
    async fn ask(&self, key: &str, cost: u64, holds_other: bool) -> Result<Decision, CheckError> {
        let before = self.changes.of(key);
        let result = self.inner.check(key, cost).await;
        match &result {
            Ok(Decision::Denied(denial)) => self.remember(key, cost, denial, before),
            // What was charged makes the greater cost wait for longer than is held.
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
        // Under the lock that a change takes after it has counted itself, so none slips in between.
        if self.changes.of(key) != before {
            return;
        }
        let now = self.clock.now();
        // Whoever is over the limit when a block ends is struck again, so that has to be asked.
        let lasts = denial.blocked_for.unwrap_or(Duration::MAX).min(denial.retry_after);
        let until = now.saturating_add(Duration::from_micros(whole_micros(lasts).min(self.hold)));
        let standing =
            |held: &Held| if now >= held.until { Standing::Expired } else { Standing::Live(0, held.until.as_micros()) };
        // Of several quotas the one that refused may not be the one that a cost has to fit.
        let quota = self.inner.quota();
        let greatest = if denial.quota == quota { denial.limit } else { denial.limit.min(quota.limit()) };
        let fresh = || Held { denial: *denial, cost, greatest, since: now, until, refused: 0 };
        // Nothing is pinned here, so there is always room; a key that is too long has no decision.
        let _ = place.with(standing, fresh, |held| *held = Held { refused: held.refused, ..fresh() });
    }

    /// Forgets what is held of the key, now and again when the guard is dropped: what was asked in between doesn't count.
    fn forget<'a>(&'a self, key: &'a str) -> Forgetting<impl Fn() + 'a> {
        Forgetting::begin(move || {
            self.changes.count(key);
            self.drop_held(key);
        })
    }
}

impl Held {
    /// The denial as it is at `now`.
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

/// Counts the changes of keys, of several keys in one counter, so that a denial that was decided before a change isn't
/// remembered after it.
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
impl<L: Limiter> Limiter for DenyCache<L> {
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
        self.inner.accepts(quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner.set_quota(quota)?;
        self.changes.count_all();
        self.store.change(&(), || (), |(), held, ()| held.until = Timestamp::MIN);
        Ok(())
    }

    // Not an `async fn`: the future of an answer from here needs no room for the one of the limiter behind.
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

    /// Answered from a denial that is held, as a check would be, and not counted; else by the limiter behind.
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

    /// What is held here, else what the limiter behind knows.
    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        self.cached(key, cost).or_else(|| self.inner.known_denial(key, cost))
    }

    /// Those of the limiter behind; `denied` and `top_denied` with what was answered here. A key that is forgotten here takes
    /// its share of `top_denied` with it, never of `denied`.
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
        f.debug_struct("DenyCache").field("name", &self.name()).field("hold_micros", &self.hold).finish_non_exhaustive()
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
