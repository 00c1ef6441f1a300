//! The limiter that leases.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::hot::{Fetch, Hot, Step};
use crate::algorithm::ensure_fits;
use crate::clock::whole_micros;
use crate::fallback::Asked;
use crate::limiter::{Forgetting, Limiter, LimiterStats};
use crate::redis::Said;
use crate::store::Store;
use crate::tally::Tally;
use crate::{
    CheckError, Clock, Decision, Quota, QuotaError, Quotas, RedisAlgorithm, RedisLimiter, SystemClock, Timestamp,
};

/// A [`RedisLimiter`] that takes leases for hot keys: it has an amount charged in Redis ahead, admits that much here, and
/// needs one round trip for all of it.
///
/// **No more is admitted than without leases**: each admission was charged before, and as if it were made when its lease ends
/// at the latest. A [`FixedWindow`](crate::FixedWindow) or [`SlidingCounter`](crate::SlidingCounter) ends a lease with the
/// window, a [`SlidingWindow`](crate::SlidingWindow) dates the charge at the lease's end or up to a segment later, a
/// [`TokenBucket`](crate::TokenBucket) or [`LeakyBucket::meter`](crate::LeakyBucket::meter) counts as no fuller than it may be
/// then. The time of a lease runs from before it was asked for. A [`SlidingLog`](crate::SlidingLog) and a
/// [`LeakyBucket::queue`](crate::LeakyBucket::queue) are never leased.
///
/// What it costs:
///
/// - **Less may be admitted.** What is leased and not used counts as used: at most one lease for each process, which is about
///   what the key used in the life of the last one, never more than an eighth of what was left. Near the limit nothing is
///   leased, and each check asks Redis.
/// - **What other nodes change shows late**, by the [life](LeasedLimiterBuilder::life) of a lease at most, half a second unless
///   set: a block, a reset, a lowered quota. What is changed through this limiter shows at once. After a reset, or a
///   reward above what was admitted, what other nodes still hold is admitted beside the new limit.
/// - It remembers the rate of [`max_keys`](LeasedLimiterBuilder::max_keys) keys.
///
/// A key that isn't hot, and a cost of which a lease would hold only one, cost one round trip each as before. Processes that
/// lease and processes that don't may share a limiter.
pub struct LeasedLimiter<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    clock: Box<dyn Clock>,
    life: u64,
    most: u64,
    keys: Store<Hot>,
    leased: AtomicU64,
    tally: Tally,
}

/// Collects the options of a [`LeasedLimiter`]; see [`LeasedLimiter::builder`].
pub struct LeasedLimiterBuilder<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    clock: Box<dyn Clock>,
    life: Duration,
    most: u64,
    max_keys: usize,
}

const DEFAULT_LIFE: Duration = Duration::from_millis(500);
const DEFAULT_MOST: u64 = 1_000_000;
const DEFAULT_MAX_KEYS: usize = 10_000;
/// Below, a lease is over before it has arrived.
const LEAST_LIFE: u64 = 5_000;
/// How often a check waits for the leases of others before it asks by itself.
const PATIENCE: u32 = 3;

impl<A: RedisAlgorithm> LeasedLimiterBuilder<A> {
    /// Lets a lease live for so long at most, half a second unless set; a tenth of a sliding window's period, or of the time
    /// in which a bucket fills, where that is shorter. Nothing is leased for less than 5 ms.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Leases at most so much at once; 1,000,000 unless set.
    #[must_use]
    pub fn most(mut self, amount: u64) -> Self {
        self.most = amount;
        self
    }

    /// Remembers the rates of at most `n` keys, at least one; 10,000 unless set, some 3 MB. The others count as cold.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Takes the time of leases from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> LeasedLimiter<A> {
        let Self { shared, clock, life, most, max_keys } = self;
        let (keys, leased, tally) = (Store::new(max_keys), AtomicU64::new(0), Tally::default());
        LeasedLimiter { shared, clock, life: whole_micros(life), most, keys, leased, tally }
    }
}

/// A fetch that is under way. However it ends, those who wait for it go on.
struct Fetching<'a, A: RedisAlgorithm> {
    limiter: &'a LeasedLimiter<A>,
    key: &'a str,
    fetch: Arc<Fetch>,
}

impl<A: RedisAlgorithm> Fetching<'_, A> {
    async fn run(self, cost: u64, amount: u64, life: u64) -> Result<Said, CheckError> {
        let LeasedLimiter { shared, clock, keys, .. } = self.limiter;
        let sent = clock.now();
        let (said, grant) = shared.lease(self.key, cost, amount, life).await?;
        let mut place = keys.lock(self.key);
        let Some((_, hot)) = place.get_mut() else { return Ok(said) };
        let life = Duration::from_micros(life);
        let decision = hot.fetched(&self.fetch, &said.decision, grant, sent, clock.now(), life);
        Ok(Said { decision, usage: if decision.is_allowed() { decision } else { said.usage } })
    }
}

impl<A: RedisAlgorithm> Drop for Fetching<'_, A> {
    fn drop(&mut self) {
        if let Some((_, hot)) = self.limiter.keys.lock(self.key).get_mut() {
            hot.failed(&self.fetch);
        }
        self.fetch.end();
    }
}

impl<A: RedisAlgorithm> LeasedLimiter<A> {
    /// Starts a limiter that leases from `shared`.
    pub fn builder(shared: RedisLimiter<A>) -> LeasedLimiterBuilder<A> {
        let clock = Box::new(SystemClock::new());
        LeasedLimiterBuilder { shared, clock, life: DEFAULT_LIFE, most: DEFAULT_MOST, max_keys: DEFAULT_MAX_KEYS }
    }

    /// The limiter that it leases from.
    pub fn shared(&self) -> &RedisLimiter<A> {
        &self.shared
    }

    /// How many checks were admitted here, without asking Redis.
    pub fn leased(&self) -> u64 {
        self.leased.load(Ordering::Relaxed)
    }

    /// As [`Limiter::check`], but counts nothing for the statistics. Says when it has asked Redis by itself, not when it waits for
    /// what another check has asked.
    pub(crate) async fn decide(&self, key: &str, cost: u64, asked: &Asked<'_>) -> Result<Said, CheckError> {
        let algorithm = self.shared.algorithm();
        // Before it is counted: what is never admitted makes no key hot.
        ensure_fits(cost, algorithm.capacity())?;
        let life = self.life.min(algorithm.longest_lease());
        if life < LEAST_LIFE {
            asked.begin()?;
            return self.shared.decide(key, cost).await;
        }
        let span = Duration::from_micros(life);
        let mut waited = 0;
        loop {
            match self.step(key, cost, span, waited == 0)? {
                Step::Admitted(decision) => {
                    self.leased.fetch_add(1, Ordering::Relaxed);
                    return Ok(Said { decision, usage: decision });
                }
                Step::Fetch(fetch, amount) => {
                    let fetching = Fetching { limiter: self, key, fetch };
                    asked.begin()?;
                    return fetching.run(cost, amount, life).await;
                }
                Step::Wait(fetch) if waited < PATIENCE => {
                    fetch.ended().await;
                    waited += 1;
                }
                Step::Wait(_) | Step::Direct => {
                    asked.begin()?;
                    return self.direct(key, cost).await;
                }
            }
        }
    }

    fn step(&self, key: &str, cost: u64, life: Duration, is_first: bool) -> Result<Step, CheckError> {
        let mut place = self.keys.lock(key);
        // Read under the lock, so that one key sees times in the order of its checks.
        let now = self.clock.now();
        place.with(
            |hot| hot.standing(now, life),
            || Hot::new(now),
            |hot| {
                if is_first {
                    hot.count(now, cost, life);
                }
                hot.step(now, cost, self.most)
            },
        )
    }

    async fn direct(&self, key: &str, cost: u64) -> Result<Said, CheckError> {
        let said = self.shared.decide(key, cost).await?;
        if let Some((_, hot)) = self.keys.lock(key).get_mut() {
            hot.learn(&said.decision);
        }
        Ok(said)
    }

    /// What is leased is dropped, and what is fetched meanwhile too.
    fn forget<'a>(&'a self, key: &'a str) -> Forgetting<impl Fn() + 'a> {
        Forgetting::begin(move || {
            if let Some((_, hot)) = self.keys.lock(key).get_mut() {
                hot.forget();
            }
        })
    }
}

#[async_trait]
impl<A: RedisAlgorithm> Limiter for LeasedLimiter<A> {
    fn name(&self) -> &str {
        self.shared.name()
    }

    fn quota(&self) -> Quota {
        self.shared.quota()
    }

    fn quotas(&self) -> Quotas {
        self.shared.quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.shared.accepts(quota)
    }

    /// Drops all leases; other processes keep theirs until they end.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.shared.set_quota(quota)?;
        self.keys.change(&(), || (), |(), hot, ()| hot.forget());
        Ok(())
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.decide(key, cost, &Asked::default()).await.map(|said| said.decision);
        self.tally.count(key, result, Decision::is_allowed)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let now: Timestamp = self.clock.now();
        let here = self.keys.lock(key).get().and_then(|hot| hot.peek(now, cost));
        match here {
            Some(decision) => Ok(decision),
            None => self.shared.peek(key, cost).await,
        }
    }

    /// What is leased is admitted all the same.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.shared.penalty(key, cost).await
    }

    /// Drops the lease, since what it was charged may be what is taken back: what is left of it counts as used.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let _forgetting = self.forget(key);
        self.shared.reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let _forgetting = self.forget(key);
        self.shared.reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let _forgetting = self.forget(key);
        self.shared.block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        let _forgetting = self.forget(key);
        self.shared.unblock(key).await
    }

    /// Checks of this process, by whomever they were decided, and the keys whose rates it remembers.
    fn stats(&self) -> LimiterStats {
        let tracked_keys = self.keys.stats(|_| (0, false)).tracked_keys;
        LimiterStats { tracked_keys, ..self.tally.stats() }
    }
}

impl<A: RedisAlgorithm> fmt::Debug for LeasedLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedLimiter").field("shared", &self.shared).field("life_micros", &self.life).finish()
    }
}

impl<A: RedisAlgorithm> fmt::Debug for LeasedLimiterBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedLimiterBuilder")
            .field("shared", &self.shared)
            .field("life", &self.life)
            .field("most", &self.most)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
