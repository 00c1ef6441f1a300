//! A Redis limiter with a local one behind it.

mod deciding;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::deciding::Blocking;
use super::changes::Changes;
use super::debts::Debts;
use super::known::Known;
use super::moment::Moment;
use super::patience::{DEFAULT_PATIENCE, Patience};
use super::settling::Settling;
use super::shared::SharedLimiter;
use super::{LiveProcesses, OutagePolicy, fits_later};
use crate::algorithm::ensure_fits;
use crate::limiter::{DEFAULT_MAX_KEYS, Forgetting, Limiter, LimiterStats};
use crate::tally::Tally;
use crate::{
    CheckError, Clock, Decision, MemoryLimiter, Quota, QuotaError, Quotas, RedisAlgorithm, StoreError, SystemClock,
    Timestamp,
};

/// Asks Redis, and while Redis can't be asked lets an [`OutagePolicy`] decide, in microseconds.
///
/// Every check asks Redis first; its client knows of an outage and says so at once, and Redis decides again as soon as it is
/// back. The checks that an outage catches under way wait for the [patience](FallbackLimiterBuilder::patience) at most, 40 ms
/// unless set; what they sent is not sent again, since it may have run.
///
/// With [`OutagePolicy::LocalShare`]:
///
/// - A key that Redis answered for before the outage begins with its share of what was left then. Of several windows
///   ([`Windows`](crate::Windows)) Redis tells of the binding one alone, so the others begin as if as much of them were used of the
///   smallest share: a longer one may admit its whole share once more.
/// - What is admitted in the outage is charged to Redis when that is back, each at its own date, so that it expires with its
///   window: once, however often it has to be sent, and never with a strike. Before this process asks Redis for a key it
///   settles that key's debts, or waits for the check that settles them. A check that was sent to Redis and got no answer is not among them: it may have been charged
///   there.
/// - In the first window without an answer Redis may only be slow for a moment, and may answer the
///   other processes. There a process admits no more of a key than the remaining count that Redis
///   reported last, divided by the number of [`LiveProcesses`] (rounded down); of a key that Redis
///   has not reported, the same part of the limit and at least one. Who goes over that is refused
///   and not blocked. So each process that gets no answer exceeds the limit by at most its part of
///   the count that it heard last, and all together by at most one limit. They don't exceed it if
///   their counts are up to date.
/// - Where the share is the whole limit, a refusal begins a block as ever, and that is taken to Redis too, unless Redis holds a
///   longer one. Who goes over a smaller share is refused and no more: that is not yet over the limit.
/// - Together the processes admit at most the limit in a window that lies within the outage, and in the one in which the
///   outage begins at most the limit and the shares.
/// - At most [`max_keys`](FallbackLimiterBuilder::max_keys) keys with debts are kept; of more, the smallest debts are
///   forgotten, which [`evicted_live`](LimiterStats::evicted_live) counts.
///
/// With each policy, blocks survive the outage: one that Redis tells of is remembered here until it ends, and one that is set by
/// hand in the outage is taken to Redis afterwards, where it replaces what was blocked before, longer or not. An `unblock` or a
/// `reset` that can't reach Redis is an error and is not repeated. All three wait for Redis no longer than a check does.
pub struct FallbackLimiter<A: RedisAlgorithm> {
    inner: Arc<Inner<A>>,
}

struct Inner<A: RedisAlgorithm> {
    shared: SharedLimiter<A>,
    local: MemoryLimiter<A>,
    policy: OutagePolicy,
    patience: Patience,
    clock: Arc<dyn Clock>,
    known: Known,
    moment: Moment,
    debts: Debts,
    settling: Settling,
    here: Changes,
    /// Held while the quota is changed, so that Redis and the share are always parts of the same one.
    changes: Mutex<()>,
    tally: Tally,
}

/// Collects the options of a [`FallbackLimiter`]; see [`FallbackLimiter::builder`].
pub struct FallbackLimiterBuilder<A: RedisAlgorithm> {
    shared: SharedLimiter<A>,
    policy: OutagePolicy,
    patience: Duration,
    max_keys: usize,
    live: LiveProcesses,
    clock: Arc<dyn Clock>,
}

impl<A: RedisAlgorithm> FallbackLimiterBuilder<A> {
    /// Decides by `policy` in an outage; [`OutagePolicy::ALONE`] unless set.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Waits for Redis' answer for so long at most; 40 ms unless set. Then the policy decides, also for all other checks until
    /// it is known whether Redis is away.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Holds at most `n` keys in memory, at least one; 100,000 unless set: in an outage their usage and their debts, else what
    /// Redis said of them last and who is blocked.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Divides what is left of a key among the live processes while Redis is slow for a moment, as
    /// [`OutagePolicy::LocalShare`] says; this process alone unless set.
    #[must_use]
    pub fn live_processes(mut self, live: LiveProcesses) -> Self {
        self.live = live;
        self
    }

    /// Takes time in an outage from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> FallbackLimiter<A> {
        let Self { shared, policy, patience, max_keys, live, clock } = self;
        let redis = shared.redis();
        let mut local = MemoryLimiter::builder(redis.name(), redis.algorithm().share(policy.parts()))
            .max_keys(max_keys)
            .clock(clock.clone());
        // Over a share is not yet over the limit, and a block would hold on every node and for long after the outage.
        if let Some(block) = redis.policy().filter(|_| policy.parts() == NonZeroU32::MIN) {
            local = local.block(block);
        }
        let (local, known, debts) = (local.build(), Known::new(max_keys), Debts::new(max_keys));
        FallbackLimiter {
            inner: Arc::new(Inner {
                shared,
                local,
                policy,
                patience: Patience::new(patience),
                clock,
                known,
                moment: Moment::new(live),
                debts,
                settling: Settling::default(),
                here: Changes::default(),
                changes: Mutex::default(),
                tally: Tally::default(),
            }),
        }
    }
}

impl<A: RedisAlgorithm> FallbackLimiter<A> {
    /// Starts a limiter that falls back from `shared`, a [`RedisLimiter`](crate::RedisLimiter) or a
    /// [`LeasedLimiter`](crate::LeasedLimiter), with its name, algorithm and blocks.
    pub fn builder(shared: impl Into<SharedLimiter<A>>) -> FallbackLimiterBuilder<A> {
        FallbackLimiterBuilder {
            shared: shared.into(),
            policy: OutagePolicy::default(),
            patience: DEFAULT_PATIENCE,
            max_keys: DEFAULT_MAX_KEYS,
            live: LiveProcesses::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }
}

#[async_trait]
impl<A: RedisAlgorithm> Limiter for FallbackLimiter<A> {
    fn name(&self) -> &str {
        self.inner.shared.redis().name()
    }

    fn quota(&self) -> Quota {
        self.inner.shared.redis().quota()
    }

    fn quotas(&self) -> Quotas {
        self.inner.shared.redis().quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner.shared.as_limiter().accepts(quota)?;
        self.inner.local.accepts(quota.share(self.inner.policy.parts()))
    }

    /// The share of an outage follows.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        let _one_at_a_time = self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.capacity();
        self.inner.shared.as_limiter().set_quota(quota)?;
        self.inner.known.change_limit(before, self.inner.capacity());
        self.inner.local.set_quota(quota.share(self.inner.policy.parts()))
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.inner.decide(key, cost).await;
        self.inner.tally.count(key, result, Decision::is_allowed)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        ensure_fits(cost, inner.capacity())?;
        match inner.ask(key, inner.shared.as_limiter().peek(key, cost)).await {
            Ok(result) => result,
            // A look begins no share: it takes no place, from whomever.
            Err(error) if inner.counts() => {
                let now = inner.clock.now();
                let here = match inner.seed(inner.known.look(key, now), now) {
                    Some(seed) => inner.local.peek_seeded(key, cost, seed),
                    None => inner.local.peek(key, cost).await,
                };
                fits_later(here, error)
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// In an outage the key is charged here, where a share is counted, and in Redis when that is back.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        match inner.ask(key, inner.shared.as_limiter().penalty(key, cost)).await {
            Ok(result) => result,
            Err(error) if inner.counts() => {
                if !error.may_have_charged() {
                    inner.owe(key, cost.min(Quota::MAX_LIMIT));
                }
                inner.local.penalty_seeded(key, cost, || inner.begin(key))
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// In an outage it is taken back here, where a share is counted, and from what Redis is to be charged.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        match inner.ask(key, inner.shared.as_limiter().reward(key, amount)).await {
            Ok(result) => result,
            Err(error) if inner.counts() => {
                if !error.may_have_charged() {
                    inner.debts.take_back(key, amount);
                }
                inner.local.reward_seeded(key, amount, || inner.begin(key))
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// Forgets the key here in any case; an error says that Redis still remembers it.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let here = inner.forget(key)?;
        let forgetting = Forgetting::begun(|| {
            inner.here.by_hand(key);
            let _ = inner.forget(key);
        });
        let there = inner.ask(key, inner.shared.as_limiter().reset(key)).await;
        drop(forgetting);
        Ok(there?? || here)
    }

    /// Blocks the key here in any case. An error says that other processes don't know of it; after an outage they will,
    /// whatever the policy.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let inner = &self.inner;
        inner.local.block_now(key, duration)?;
        let now = inner.clock.now();
        // An earlier one may have been sent, and arrive after this was set.
        let set = if inner.debts.forget_block(key) { Timestamp::MAX } else { now };
        let mut blocking = Blocking { inner, key, set, until: now.saturating_add(duration), is_owed: true };
        let result = inner.ask(key, inner.shared.as_limiter().block(key, duration)).await;
        blocking.is_owed = result.as_ref().is_err_and(StoreError::is_transient);
        drop(blocking);
        result?
    }

    /// Unblocks the key here in any case; an error says that Redis still holds the block.
    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let here = inner.unblock(key)?;
        let forgetting = Forgetting::begun(|| {
            inner.here.by_hand(key);
            let _ = inner.unblock(key);
        });
        let there = inner.ask(key, inner.shared.as_limiter().unblock(key)).await;
        drop(forgetting);
        Ok(there?? || here)
    }

    /// A block that is known here.
    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        let denial = self.inner.local.known_denial(key, cost)?;
        self.inner.tally.count(key, Ok(denial), Decision::is_allowed).ok()
    }

    /// Checks of this process, by whomever they were decided; keys held, blocked and evicted in its memory, debts that were
    /// forgotten among the latter.
    fn stats(&self) -> LimiterStats {
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = self.inner.local.stats();
        let evicted_live = evicted_live + self.inner.debts.forgotten();
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.inner.tally.stats() }
    }
}

impl<A: RedisAlgorithm> fmt::Debug for FallbackLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLimiter")
            .field("shared", &self.inner.shared)
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl<A: RedisAlgorithm> fmt::Debug for FallbackLimiterBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLimiterBuilder")
            .field("shared", &self.shared)
            .field("policy", &self.policy)
            .field("patience", &self.patience)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
