//! The tenants' quota in Redis, with a local one behind it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::limiter::fits_later;
use super::{OutagePolicy, outage};
use crate::tally::Tally;
use crate::{
    CheckError, Clock, LimiterStats, MemoryTenantLimiter, RedisTenantLimiter, SeatDecision, StoreError, SystemClock,
    TenantDecision, TenantLimiter, TenantPlan, TenantState, TenantUsage, Timestamp,
};

/// Asks Redis, and while Redis can't be asked lets an [`OutagePolicy`] decide, as
/// [`FallbackLimiter`](super::FallbackLimiter) does.
pub struct FallbackTenantLimiter {
    shared: RedisTenantLimiter,
    local: MemoryTenantLimiter,
    policy: OutagePolicy,
    tally: Tally,
}

/// Collects the options of a [`FallbackTenantLimiter`]; see [`FallbackTenantLimiter::builder`].
pub struct FallbackTenantLimiterBuilder {
    shared: RedisTenantLimiter,
    policy: OutagePolicy,
    max_keys: usize,
    clock: Box<dyn Clock>,
}

const DEFAULT_MAX_KEYS: usize = 100_000;

impl FallbackTenantLimiterBuilder {
    /// Decides by `policy` in an outage; [`OutagePolicy::ALONE`] unless set.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Holds at most `n` tenants in memory, at least one; 100,000 unless set. Without an outage none are held.
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
    pub fn build(self) -> FallbackTenantLimiter {
        let Self { shared, policy, max_keys, clock } = self;
        let local = MemoryTenantLimiter::new(clock, max_keys);
        FallbackTenantLimiter { shared, local, policy, tally: Tally::default() }
    }
}

impl FallbackTenantLimiter {
    /// Starts a limiter that falls back from `shared`.
    pub fn builder(shared: RedisTenantLimiter) -> FallbackTenantLimiterBuilder {
        let clock = Box::new(SystemClock::new());
        FallbackTenantLimiterBuilder { shared, policy: OutagePolicy::default(), max_keys: DEFAULT_MAX_KEYS, clock }
    }

    async fn decide(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        match outage(self.shared.decide(tenant, plan, cost).await) {
            Ok(result) => result,
            Err(error) => self.instead(tenant, plan, cost, error).await,
        }
    }

    async fn instead(
        &self,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
        error: StoreError,
    ) -> Result<TenantDecision, CheckError> {
        match self.policy {
            // Nothing is counted, so each window says what it says of a tenant that was never charged.
            OutagePolicy::Open => TenantState::default().check(plan, Timestamp::MIN, 0),
            OutagePolicy::Closed => Err(CheckError::Store(error)),
            OutagePolicy::LocalShare { instances } => {
                fits_later(self.local.check(tenant, &plan.share(instances), cost).await, error)
            }
        }
    }
}

#[async_trait]
impl TenantLimiter for FallbackTenantLimiter {
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let result = self.decide(tenant, plan, cost).await;
        self.tally.count(tenant, result, |decision| decision.allowed)
    }

    /// In an outage what this process has counted of its share; an error where the policy counts nothing.
    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError> {
        match (outage(self.shared.usage(tenant, plan).await), self.policy) {
            (Ok(result), _) => result,
            (Err(_), OutagePolicy::LocalShare { instances }) => self.local.usage(tenant, &plan.share(instances)).await,
            (Err(error), _) => Err(CheckError::Store(error)),
        }
    }

    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        self.shared.peek(tenant, plan, cost).await
    }

    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError> {
        self.shared.penalty(tenant, plan, cost).await
    }

    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError> {
        self.shared.reward(tenant, plan, amount).await
    }

    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError> {
        self.shared.block(tenant, duration).await
    }

    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError> {
        self.shared.unblock(tenant).await
    }

    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.shared.set_plan(tenant, plan).await
    }

    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        self.shared.plan(tenant).await
    }

    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError> {
        self.shared.take_seat(tenant, plan, in_use).await
    }

    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError> {
        self.shared.give_seat(tenant).await
    }

    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError> {
        self.shared.set_seats(tenant, used).await
    }

    /// Forgets the tenant's usage here in any case; an error says that Redis still remembers it.
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        let here = self.local.reset(tenant).await?;
        Ok(self.shared.reset(tenant).await? || here)
    }

    /// Checks of this process, by whomever they were decided; tenants held and evicted in its memory.
    fn stats(&self) -> LimiterStats {
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = self.local.stats();
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.tally.stats() }
    }
}

impl fmt::Debug for FallbackTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackTenantLimiter").field("shared", &self.shared).field("policy", &self.policy).finish()
    }
}

impl fmt::Debug for FallbackTenantLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackTenantLimiterBuilder")
            .field("shared", &self.shared)
            .field("policy", &self.policy)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
