//! A limiter that uses leases.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::hot::{Fetch, Hot, Step};
use crate::algorithm::ensure_fits;
use crate::limiter::{Forgetting, Limiter, LimiterDecorator};
use crate::redis::{Asked, Said};
use crate::stats::LimiterStats;
use crate::store::Store;
use crate::tally::Tally;
use crate::timestamp::whole_micros;
use crate::{CheckError, Clock, Decision, Quota, QuotaError, RedisAlgorithm, RedisLimiter, Timestamp};

/// A [`RedisLimiter`] with leases for hot keys. It charges an amount in Redis in advance and admits
/// that amount in this process. This needs only one round trip for the whole amount.
///
/// **It never admits more than without leases**: each admission was charged before, with a time
/// that is not after the end of its lease. With a [`FixedWindow`](crate::FixedWindow) or
/// [`SlidingCounter`](crate::SlidingCounter), a lease ends with the window. With a
/// [`SlidingWindow`](crate::SlidingWindow), the time of the charge is the end of the lease or up to
/// one segment later. A [`TokenBucket`](crate::TokenBucket) or
/// [`LeakyBucket::meter`](crate::LeakyBucket::meter) counts as at most as full as it may be then.
/// The lifetime of a lease begins before it was requested. [`SlidingLog`](crate::SlidingLog) and
/// [`LeakyBucket::queue`](crate::LeakyBucket::queue) are never leased.
///
/// Costs:
///
/// - **It may admit less.** A leased amount that is not used counts as used: at most one lease per
///   process. That is about what the key used in the lifetime of the previous lease, and never more
///   than an eighth of the remaining amount. Near the limit nothing is leased, and each check goes
///   to Redis.
/// - **Changes by other nodes take effect late**, by at most the
///   [lifetime](LeasedLimiterBuilder::life) of a lease, half a second by default: a block, a reset,
///   a lowered quota. Changes through this limiter take effect immediately. After a reset, or a
///   reward above what was admitted, the leases of other nodes are admitted in addition to the new
///   limit.
/// - It stores the rates of [`max_keys`](LeasedLimiterBuilder::max_keys) keys.
///
/// A key that is not hot costs one round trip per check, and so does a cost of which a lease would
/// hold only one. Processes with and without leases may share a limiter.
pub struct LeasedLimiter<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    clock: Clock,
    life: u64,
    most: u64,
    keys: Store<Hot>,
    leased: AtomicU64,
    tally: Tally,
}

/// Builder of a [`LeasedLimiter`]; see [`LeasedLimiter::builder`].
pub struct LeasedLimiterBuilder<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    clock: Clock,
    life: Duration,
    most: u64,
    max_keys: usize,
}

const DEFAULT_LIFE: Duration = Duration::from_millis(500);
const DEFAULT_MOST: u64 = 1_000_000;
const DEFAULT_MAX_KEYS: usize = 10_000;
/// Minimum lifetime of a lease, in microseconds. A shorter one would end before it arrives.
const LEAST_LIFE: u64 = 5_000;
/// Maximum number of waits for other checks' leases before a check goes to Redis itself.
const PATIENCE: u32 = 3;

impl<A: RedisAlgorithm> LeasedLimiterBuilder<A> {
    /// Sets the maximum lifetime of a lease; half a second by default. It is limited to a tenth of
    /// a sliding window's period, or of the time in which a bucket fills. Nothing is leased for
    /// less than 5 ms.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// Sets the maximum amount of one lease; 1,000,000 by default.
    #[must_use]
    pub fn most(mut self, amount: u64) -> Self {
        self.most = amount;
        self
    }

    /// Sets the maximum number of keys whose rates are stored; at least one, 10,000 by default
    /// (about 3 MB). Other keys count as cold.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    clock_setter!(clock);

    /// Builds the limiter.
    pub fn build(self) -> LeasedLimiter<A> {
        let Self { shared, clock, life, most, max_keys } = self;
        let (keys, leased, tally) = (Store::new(max_keys), AtomicU64::new(0), Tally::default());
        LeasedLimiter { shared, clock, life: whole_micros(life), most, keys, leased, tally }
    }
}

/// A running fetch. When it ends, for whatever reason, the waiting checks continue.
struct Fetching<'a, A: RedisAlgorithm> {
    limiter: &'a LeasedLimiter<A>,
    key: &'a str,
    fetch: Arc<Fetch>,
}

impl<A: RedisAlgorithm> Fetching<'_, A> {
    async fn run(self, cost: u64, amount: u64, life: u64) -> Result<Said, CheckError> {
        let LeasedLimiter { shared, clock, keys, .. } = self.limiter;
        let sent = Timestamp::now(clock);
        let (said, grant) = shared.lease(self.key, cost, amount, life).await?;
        let mut place = keys.lock(self.key);
        let Some((_, hot)) = place.get_mut() else { return Ok(said) };
        let life = Duration::from_micros(life);
        let decision = hot.fetched(&self.fetch, &said.decision, grant, sent, Timestamp::now(clock), life);
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
    /// Returns a builder for a limiter that leases from `shared`.
    pub fn builder(shared: RedisLimiter<A>) -> LeasedLimiterBuilder<A> {
        let clock = Clock::system();
        LeasedLimiterBuilder { shared, clock, life: DEFAULT_LIFE, most: DEFAULT_MOST, max_keys: DEFAULT_MAX_KEYS }
    }

    /// The limiter from which this one leases.
    pub fn shared(&self) -> &RedisLimiter<A> {
        &self.shared
    }

    /// Number of checks that were admitted in this process without a request to Redis.
    pub fn leased(&self) -> u64 {
        self.leased.load(Ordering::Relaxed)
    }

    /// Same as [`Limiter::check`], but not counted in the statistics. Reports through `asked` when
    /// it sends a request to Redis itself, not when it waits for another check's request.
    pub(crate) async fn decide(&self, key: &str, cost: u64, asked: &Asked<'_>) -> Result<Said, CheckError> {
        let algorithm = self.shared.algorithm();
        // Checked before it is counted: a cost that can never be admitted makes no key hot.
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
        // Read under the lock, so that a key's times follow the order of its checks.
        let now = Timestamp::now(&self.clock);
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

    /// Drops the lease, and the result of a fetch that is running.
    fn forget<'a>(&'a self, key: &'a str) -> Forgetting<impl Fn() + 'a> {
        Forgetting::begin(move || {
            if let Some((_, hot)) = self.keys.lock(key).get_mut() {
                hot.forget();
            }
        })
    }
}

/// After a penalty the leased amount is still admitted.
#[async_trait]
impl<A: RedisAlgorithm> LimiterDecorator for LeasedLimiter<A> {
    type Inner = RedisLimiter<A>;

    fn inner(&self) -> &RedisLimiter<A> {
        &self.shared
    }

    /// Drops all leases. Other processes keep theirs until they end.
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
        let now = Timestamp::now(&self.clock);
        let here = self.keys.lock(key).get().and_then(|hot| hot.peek(now, cost));
        match here {
            Some(decision) => Ok(decision),
            None => self.shared.peek(key, cost).await,
        }
    }

    /// Drops the lease, whose charge may be the refunded one. Its unused amount counts as used.
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

    /// Checks of this process, decided here or in Redis, and keys whose rates are stored.
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
