//! A Redis limiter with a local one behind it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{OutagePolicy, outage};
use crate::limiter::{Limiter, LimiterStats};
use crate::tally::Tally;
use crate::{
    CheckError, Clock, Decision, MemoryLimiter, Quota, QuotaError, RedisAlgorithm, RedisLimiter, StoreError,
    SystemClock,
};

/// Asks Redis, and while Redis can't be asked lets an [`OutagePolicy`] decide, in microseconds.
///
/// Every check asks Redis first; its client knows of an outage and says so at once, and Redis decides again as soon as it is
/// back. The checks that an outage catches under way wait for the client's time-out before the policy decides.
///
/// Each block that Redis tells of is remembered here until it ends, so it outlasts Redis. What the policy admits is not
/// charged to Redis later, and a block that began here in an outage ends with Redis' next admission.
pub struct FallbackLimiter<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    local: MemoryLimiter<A>,
    policy: OutagePolicy,
    tally: Tally,
}

/// Collects the options of a [`FallbackLimiter`]; see [`FallbackLimiter::builder`].
pub struct FallbackLimiterBuilder<A: RedisAlgorithm> {
    shared: RedisLimiter<A>,
    policy: OutagePolicy,
    max_keys: usize,
    clock: Box<dyn Clock>,
}

const DEFAULT_MAX_KEYS: usize = 100_000;

impl<A: RedisAlgorithm> FallbackLimiterBuilder<A> {
    /// Decides by `policy` in an outage; [`OutagePolicy::ALONE`] unless set.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Holds at most `n` keys in memory, at least one; 100,000 unless set. Without an outage only blocked keys are held.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Takes time in an outage from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> FallbackLimiter<A> {
        let Self { shared, policy, max_keys, clock } = self;
        let mut local = MemoryLimiter::builder(shared.name(), shared.algorithm().share(policy.parts()))
            .max_keys(max_keys)
            .clock(clock);
        if let Some(block) = shared.policy() {
            local = local.block(block);
        }
        FallbackLimiter { local: local.build(), shared, policy, tally: Tally::default() }
    }
}

impl<A: RedisAlgorithm> FallbackLimiter<A> {
    /// Starts a limiter that falls back from `shared`, with its name, algorithm and blocks.
    pub fn builder(shared: RedisLimiter<A>) -> FallbackLimiterBuilder<A> {
        let clock = Box::new(SystemClock::new());
        FallbackLimiterBuilder { shared, policy: OutagePolicy::default(), max_keys: DEFAULT_MAX_KEYS, clock }
    }

    async fn decide(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match outage(self.shared.decide(key, cost).await) {
            Ok(result) => {
                if let Ok(decision) = &result {
                    self.local.learn_block(key, decision.blocked_for());
                }
                result
            }
            Err(error) => match self.policy {
                OutagePolicy::LocalShare { .. } => fits_later(self.local.check(key, cost).await, error),
                _ => self.uncounted(key, error).await,
            },
        }
    }

    /// What is known of a key that nobody counts: whether it is blocked.
    async fn uncounted(&self, key: &str, error: StoreError) -> Result<Decision, CheckError> {
        let decision = self.local.peek(key, 0).await?;
        if decision.is_allowed() && self.policy == OutagePolicy::Closed {
            return Err(CheckError::Store(error));
        }
        Ok(decision)
    }
}

/// A cost above the share may fit when Redis is back, so it isn't one that never does.
pub(super) fn fits_later<T>(result: Result<T, CheckError>, error: StoreError) -> Result<T, CheckError> {
    match result {
        Err(CheckError::CostExceedsLimit { .. }) => Err(CheckError::Store(error)),
        other => other,
    }
}

#[async_trait]
impl<A: RedisAlgorithm> Limiter for FallbackLimiter<A> {
    fn name(&self) -> &str {
        self.shared.name()
    }

    fn quota(&self) -> Quota {
        self.shared.quota()
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.shared.set_quota(quota)?;
        self.local.set_quota(quota.share(self.policy.parts()))
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.decide(key, cost).await;
        self.tally.count(key, result, Decision::is_allowed)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match outage(self.shared.peek(key, cost).await) {
            Ok(result) => result,
            Err(error) => match self.policy {
                OutagePolicy::LocalShare { .. } => fits_later(self.local.peek(key, cost).await, error),
                _ => self.uncounted(key, error).await,
            },
        }
    }

    /// In an outage the key is charged here, where a share is counted.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match outage(self.shared.penalty(key, cost).await) {
            Ok(result) => result,
            Err(error) => match self.policy {
                OutagePolicy::LocalShare { .. } => self.local.penalty(key, cost).await,
                _ => self.uncounted(key, error).await,
            },
        }
    }

    /// In an outage it is taken back here, where a share is counted.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        match outage(self.shared.reward(key, amount).await) {
            Ok(result) => result,
            Err(error) => match self.policy {
                OutagePolicy::LocalShare { .. } => self.local.reward(key, amount).await,
                _ => self.uncounted(key, error).await,
            },
        }
    }

    /// Forgets the key here in any case; an error says that Redis still remembers it.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let here = self.local.reset(key).await?;
        Ok(self.shared.reset(key).await? || here)
    }

    /// Blocks the key here in any case; an error says that other processes don't know of it.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.local.block(key, duration).await?;
        self.shared.block(key, duration).await
    }

    /// Unblocks the key here in any case; an error says that Redis still holds the block.
    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        let here = self.local.unblock(key).await?;
        Ok(self.shared.unblock(key).await? || here)
    }

    /// Checks of this process, by whomever they were decided; keys held, blocked and evicted in its memory.
    fn stats(&self) -> LimiterStats {
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = self.local.stats();
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.tally.stats() }
    }
}

impl<A: RedisAlgorithm> fmt::Debug for FallbackLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLimiter").field("shared", &self.shared).field("policy", &self.policy).finish()
    }
}

impl<A: RedisAlgorithm> fmt::Debug for FallbackLimiterBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLimiterBuilder")
            .field("shared", &self.shared)
            .field("policy", &self.policy)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
