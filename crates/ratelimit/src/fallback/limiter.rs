//! A Redis limiter with a local fallback.

mod deciding;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::deciding::Blocking;
use super::builder::FallbackBuilder;
use super::debts::Debts;
use super::fits_later;
use super::known::Known;
use super::outage::Outage;
use super::shared::SharedLimiter;
use crate::algorithm::ensure_fits;
use crate::limiter::Limiter;
use crate::stats::LimiterStats;
use crate::{CheckError, Decision, MemoryLimiter, Quota, QuotaError, Quotas, RedisAlgorithm, StoreError, Timestamp};

/// Sends each check to Redis. While Redis cannot be reached, an
/// [`OutagePolicy`](super::OutagePolicy) decides, within microseconds.
///
/// Every check goes to Redis first. The Redis client detects an outage and returns an error
/// immediately. Redis decides again as soon as it is available. Checks that are running when an
/// outage begins wait at most for the [patience](FallbackBuilder::patience), 40 ms by
/// default. Their requests are not repeated, because they may have been executed.
///
/// With [`OutagePolicy::LocalShare`](super::OutagePolicy::LocalShare):
///
/// - A key that Redis has reported before the outage begins with its share of the remaining amount.
///   With several windows ([`Windows`](crate::Windows)), Redis reports only the binding one, so the
///   others begin as if the same part of the smallest share were used. A longer window may admit
///   its whole share once more.
/// - Amounts that are admitted during the outage are charged to Redis afterwards, each with its own
///   time, so that it expires with its window. Each is charged once, however often it has to be
///   sent, and never with a strike. Before this process sends a request for a key to Redis, it
///   settles that key's debts or waits for the check that settles them. A check that was sent to
///   Redis without a reply is not a debt, because Redis may have charged it.
/// - In the first window without a reply, Redis may only be slow for a moment and still reply to
///   the other processes. During that window, a process admits at most the last remaining count of
///   a key that Redis reported, divided by the number of
///   [`LiveProcesses`](crate::LiveProcesses) (rounded down). For a key that Redis has not reported,
///   it admits the same part of the limit, at least one. A request above that is refused but starts
///   no block. Each process without a reply therefore exceeds the limit by at most its part of the
///   last count that it received, and all together by at most one limit. They do not exceed it if
///   their counts are up to date.
/// - If the share is the whole limit, a refusal begins a block as usual. The block is also sent to
///   Redis, unless Redis has a longer one. A request above a smaller share is only refused, because
///   it does not exceed the limit yet.
/// - Together the processes admit at most the limit in a window within the outage. In the window in
///   which the outage begins, they admit at most the limit plus the shares.
/// - At most [`max_keys`](FallbackBuilder::max_keys) keys with debts are stored. Above that,
///   the smallest debts are removed, which [`evicted_live`](LimiterStats::evicted_live) counts.
///
/// With every policy, blocks remain in force during the outage. A block that Redis reported is
/// stored in this process until it ends. A manual block during the outage is sent to Redis
/// afterwards, where it replaces earlier blocks, even longer ones. An `unblock` or a `reset` that
/// cannot reach Redis returns an error and is not repeated. These three calls wait for Redis no
/// longer than a check does.
pub struct FallbackLimiter<A: RedisAlgorithm> {
    inner: Arc<Inner<A>>,
}

struct Inner<A: RedisAlgorithm> {
    shared: SharedLimiter<A>,
    local: MemoryLimiter<A>,
    outage: Outage,
    known: Known,
    debts: Debts,
    /// Locked during a change of the quota, so that Redis and the share always use the same quota.
    changes: Mutex<()>,
}

impl<A: RedisAlgorithm> FallbackBuilder<SharedLimiter<A>> {
    /// Builds the limiter.
    pub fn build(self) -> FallbackLimiter<A> {
        let outage = self.outage();
        let Self { shared, max_keys, .. } = self;
        let redis = shared.redis();
        let parts = outage.policy.parts();
        let mut local = MemoryLimiter::builder(redis.name(), redis.algorithm().share(parts))
            .max_keys(max_keys)
            .clock(&outage.clock);
        // Such a request may be within the limit. A block would outlast the outage on every node.
        if let Some(block) = redis.policy().filter(|_| parts == NonZeroU32::MIN) {
            local = local.block(block);
        }
        let (local, known, debts) = (local.build(), Known::new(max_keys), Debts::new(max_keys));
        FallbackLimiter { inner: Arc::new(Inner { shared, local, outage, known, debts, changes: Mutex::default() }) }
    }
}

impl<A: RedisAlgorithm> FallbackLimiter<A> {
    /// Returns a builder for a limiter that falls back from `shared`, a
    /// [`RedisLimiter`](crate::RedisLimiter) or a [`LeasedLimiter`](crate::LeasedLimiter), with its
    /// name, algorithm and blocks.
    pub fn builder(shared: impl Into<SharedLimiter<A>>) -> FallbackBuilder<SharedLimiter<A>> {
        FallbackBuilder::new(shared.into())
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
        self.inner.local.accepts(quota.share(self.inner.outage.policy.parts()))
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        let _one_at_a_time = self.inner.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.capacity();
        self.inner.shared.as_limiter().set_quota(quota)?;
        self.inner.known.change_limit(before, self.inner.capacity());
        self.inner.local.set_quota(quota.share(self.inner.outage.policy.parts()))
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.inner.decide(key, cost).await;
        self.inner.outage.tally.count(key, result, Decision::is_allowed)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        ensure_fits(cost, inner.capacity())?;
        match inner.ask(key, inner.shared.as_limiter().peek(key, cost)).await {
            Ok(result) => result,
            // A peek does not begin a share, so it stores nothing.
            Err(error) if inner.outage.counts() => {
                let now = inner.outage.now();
                let here = match inner.seed(inner.known.look(key, now), now) {
                    Some(seed) => inner.local.peek_seeded(key, cost, seed),
                    None => inner.local.peek(key, cost).await,
                };
                fits_later(here, error)
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// During an outage, if a share is counted, charges it, and Redis afterwards.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        match inner.ask(key, inner.shared.as_limiter().penalty(key, cost)).await {
            Ok(result) => result,
            Err(error) if inner.outage.counts() => {
                if !error.may_have_charged() {
                    inner.owe(key, cost.min(Quota::MAX_LIMIT));
                }
                inner.local.penalty_seeded(key, cost, || inner.begin(key))
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// During an outage, if a share is counted, refunds it and reduces the debt to Redis.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let inner = &self.inner;
        match inner.ask(key, inner.shared.as_limiter().reward(key, amount)).await {
            Ok(result) => result,
            Err(error) if inner.outage.counts() => {
                if !error.may_have_charged() {
                    inner.debts.take_back(key, amount);
                }
                inner.local.reward_seeded(key, amount, || inner.begin(key))
            }
            Err(error) => inner.uncounted(key, error).await,
        }
    }

    /// Always resets the key in this process. An error means that Redis still stores it.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let ask = inner.ask(key, inner.shared.as_limiter().reset(key));
        inner.outage.remove(key, || inner.forget(key), ask).await
    }

    /// Always blocks the key in this process. An error means that other processes do not know the
    /// block. After an outage they receive it, with every policy.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let inner = &self.inner;
        inner.local.block_now(key, duration)?;
        let now = inner.outage.now();
        // An earlier block may have been sent, and arrive after this one was set.
        let set = if inner.debts.forget_block(key) { Timestamp::MAX } else { now };
        let mut blocking = Blocking { inner, key, set, until: now.saturating_add(duration), is_owed: true };
        let result = inner.ask(key, inner.shared.as_limiter().block(key, duration)).await;
        blocking.is_owed = result.as_ref().is_err_and(StoreError::is_transient);
        drop(blocking);
        result?
    }

    /// Always unblocks the key in this process. An error means that Redis still stores the block.
    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let ask = inner.ask(key, inner.shared.as_limiter().unblock(key));
        inner.outage.remove(key, || inner.unblock(key), ask).await
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        let denial = self.inner.local.known_denial(key, cost)?;
        self.inner.outage.tally.count(key, Ok(denial), Decision::is_allowed).ok()
    }

    /// Checks of this process, whether decided here or in Redis. Keys that its memory holds, blocks
    /// and evicts; evicted debts are included.
    fn stats(&self) -> LimiterStats {
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = self.inner.local.stats();
        let evicted_live = evicted_live + self.inner.debts.forgotten();
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.inner.outage.tally.stats() }
    }
}

impl<A: RedisAlgorithm> fmt::Debug for FallbackLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLimiter")
            .field("shared", &self.inner.shared)
            .field("policy", &self.inner.outage.policy)
            .finish_non_exhaustive()
    }
}
