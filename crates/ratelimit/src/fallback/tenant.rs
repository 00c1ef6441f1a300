//! Tenant quotas in Redis with a local fallback.

mod deciding;
mod held;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use async_trait::async_trait;

use self::held::Held;
use super::changes::Changes;
use super::moment::Moment;
use super::patience::{DEFAULT_PATIENCE, Patience};
use super::settling::Settling;
use super::{LiveProcesses, OutagePolicy, fits_later, outage};
use crate::algorithm::ensure_fits;
use crate::limiter::{DEFAULT_MAX_KEYS, Forgetting};
use crate::store::Store;
use crate::tally::Tally;
use crate::{
    CheckError, Clock, LimiterStats, RedisTenantLimiter, SeatDecision, TenantDecision, TenantLimiter, TenantPlan,
    TenantUsage, Timestamp,
};

/// Sends each request to Redis. While Redis cannot be reached, an [`OutagePolicy`] decides, as in
/// [`FallbackLimiter`](super::FallbackLimiter).
///
/// The newest plan and the last block that Redis reported remain in force during the outage. With
/// [`OutagePolicy::LocalShare`]:
///
/// - A tenant that Redis has reported begins with its share of each window's remaining amount.
/// - Amounts that are admitted during the outage are charged to Redis afterwards: once, however
///   often they have to be sent, only to windows in which they still count, and never with a
///   strike. An amount of the minute counts in Redis for one minute from then on. Before this
///   process sends a request for a tenant to Redis, it settles that tenant's debts. A check that
///   was sent to Redis without a reply is not a debt, because Redis may have charged it.
/// - In the first minute without a reply, the remaining amount of the minute is divided among the
///   [`LiveProcesses`], as in [`FallbackLimiter`](super::FallbackLimiter).
/// - Together the processes admit at most each limit in a window within the outage. In the window
///   in which the outage begins, they admit at most the limit plus the shares.
///
/// Limitations:
///
/// - A block that begins during the outage, manually or after a strike, applies only in this
///   process and is not sent to Redis later.
/// - A plan that is set during the outage applies here. Redis gets it with a check that passes it.
/// - Taking or returning seats fails, because no process knows the users of the others.
/// - Above [`max_keys`](FallbackTenantLimiterBuilder::max_keys) tenants, the smallest debts are
///   removed, which [`evicted_live`](LimiterStats::evicted_live) counts.
pub struct FallbackTenantLimiter {
    inner: Arc<Inner>,
}

struct Inner {
    shared: RedisTenantLimiter,
    policy: OutagePolicy,
    patience: Patience,
    moment: Moment,
    clock: Clock,
    tenants: Store<Held>,
    /// Whether a tenant may have debts to Redis.
    is_owing: AtomicBool,
    settling: Settling,
    here: Changes,
    /// Identifies this limiter among all that share its quotas.
    process: String,
    number: AtomicU64,
    tally: Tally,
}

/// Builder of a [`FallbackTenantLimiter`]; see [`FallbackTenantLimiter::builder`].
pub struct FallbackTenantLimiterBuilder {
    shared: RedisTenantLimiter,
    policy: OutagePolicy,
    patience: Duration,
    max_keys: usize,
    live: LiveProcesses,
    clock: Clock,
}

impl FallbackTenantLimiterBuilder {
    /// Sets the policy for outages; [`OutagePolicy::ALONE`] by default.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the maximum time to wait for a reply of Redis to a check, a block or a reset; 40 ms by
    /// default. After that the policy decides, also for all other checks, until it is known whether
    /// Redis is available.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the maximum number of tenants in memory; at least one, 100,000 by default. A tenant is
    /// evicted only if its capacity is needed. Those without debts and with the least usage are
    /// evicted first, and blocked ones never.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Sets the number of live processes, among which the remaining amount of a tenant's minute is
    /// divided while Redis is slow for a moment, see [`OutagePolicy::LocalShare`]. Default: 1.
    #[must_use]
    pub fn live_processes(mut self, live: LiveProcesses) -> Self {
        self.live = live;
        self
    }

    /// Sets the clock for outages; the system clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Builds the limiter.
    pub fn build(self) -> FallbackTenantLimiter {
        let Self { shared, policy, patience, max_keys, live, clock } = self;
        let inner = Inner {
            shared,
            policy,
            patience: Patience::new(patience),
            moment: Moment::new(live),
            clock,
            tenants: Store::new(max_keys),
            is_owing: AtomicBool::new(false),
            settling: Settling::default(),
            here: Changes::default(),
            process: format!("{:016x}", RandomState::new().hash_one("process")),
            number: AtomicU64::new(0),
            tally: Tally::default(),
        };
        FallbackTenantLimiter { inner: Arc::new(inner) }
    }
}

impl FallbackTenantLimiter {
    /// Returns a builder for a limiter that falls back from `shared`.
    pub fn builder(shared: RedisTenantLimiter) -> FallbackTenantLimiterBuilder {
        FallbackTenantLimiterBuilder {
            shared,
            policy: OutagePolicy::default(),
            patience: DEFAULT_PATIENCE,
            max_keys: DEFAULT_MAX_KEYS,
            live: LiveProcesses::default(),
            clock: Clock::system(),
        }
    }
}

#[async_trait]
impl TenantLimiter for FallbackTenantLimiter {
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let result = self.inner.decide(tenant, plan, cost).await;
        self.inner.tally.count(tenant, result, |decision| decision.allowed)
    }

    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let inner = &self.inner;
        let error = match inner.ask(tenant, inner.shared.peek(tenant, plan, cost)).await {
            Ok(result) => return result,
            Err(error) => error,
        };
        let Some(parts) = inner.parts() else { return inner.uncounted(tenant, plan, cost, error) };
        // A peek does not begin a share, so it stores nothing.
        inner.look(tenant, |held, now| {
            let plan = held.in_force(plan);
            ensure_fits(cost, plan.limits().smallest())?;
            fits_later(
                held.share_in_outage(&plan, parts, inner.sharers(parts, now), now).peek(&plan.share(parts), now, cost),
                error,
            )
        })?
    }

    /// During an outage, the usage of this process's share. An error if the policy does not count.
    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError> {
        let inner = &self.inner;
        let error = match inner.ask(tenant, inner.shared.usage(tenant, plan)).await {
            Ok(result) => return result,
            Err(error) => error,
        };
        let parts = inner.parts().ok_or(error)?;
        inner.look(tenant, |held, now| {
            let plan = held.in_force(plan);
            let (state, share) =
                (held.share_in_outage(&plan, parts, inner.sharers(parts, now), now), plan.share(parts));
            state.usage_under(inner.shared.policy(), &share, now)
        })
    }

    /// During an outage, charges the tenant in this process, and Redis afterwards. Returns an error
    /// if the policy counts nothing.
    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError> {
        let inner = &self.inner;
        let error = match inner.ask(tenant, inner.shared.penalty(tenant, plan, cost)).await {
            Ok(result) => return result,
            Err(error) => error,
        };
        let owes = !error.may_have_charged() && cost > 0;
        let usage = inner.change_share(tenant, plan, error, |held, plan, share, now| {
            held.share.penalty(share, now, cost);
            if owes {
                held.owe(plan, now, cost);
            }
        })?;
        if owes {
            inner.note_debt();
        }
        Ok(usage)
    }

    /// During an outage, refunds in this process and reduces the debt to Redis. Returns an error if
    /// the policy counts nothing.
    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError> {
        let inner = &self.inner;
        match inner.ask(tenant, inner.shared.reward(tenant, plan, amount)).await {
            Ok(result) => result,
            Err(error) => {
                // Redis may have executed the refund if the request was sent.
                let owes_less = !error.may_have_charged();
                inner.change_share(tenant, plan, error, |held, plan, share, now| {
                    held.share.reward(share, now, amount);
                    if owes_less {
                        held.take_back(plan, now, amount);
                    }
                })
            }
        }
    }

    /// Always blocks the tenant here. An error means that other processes do not know the block.
    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError> {
        let inner = &self.inner;
        let until = inner.change(tenant, |held, now| {
            held.block(now, duration);
            now.saturating_add(duration)
        })?;
        let blocking = Forgetting::begun(|| {
            inner.here.by_hand(tenant);
            let _ = inner.change(tenant, |held, now| held.block(now, until.saturating_since(now)));
        });
        let result = inner.ask(tenant, inner.shared.block(tenant, duration)).await;
        drop(blocking);
        result?
    }

    /// Always unblocks the tenant here. An error means that Redis still stores the block.
    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let unblock = || inner.known(tenant, |held, now| Some(held.share.unblock(now))).unwrap_or(false);
        let here = unblock();
        let forgetting = Forgetting::begun(|| {
            inner.here.by_hand(tenant);
            unblock();
        });
        let there = inner.ask(tenant, inner.shared.unblock(tenant)).await;
        drop(forgetting);
        Ok(there?? || here)
    }

    /// Always resets the tenant's usage in this process. An error means that Redis still stores it.
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let reset = || inner.known(tenant, |held, now| Some(held.reset(now))).unwrap_or(false);
        let here = reset();
        let forgetting = Forgetting::begun(|| {
            inner.here.by_hand(tenant);
            reset();
        });
        let there = inner.ask(tenant, inner.shared.reset(tenant)).await;
        drop(forgetting);
        Ok(there?? || here)
    }

    /// Always stores the plan here. An error means that others get it only from a check.
    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.inner.change(tenant, |held, _| held.learn_plan(plan))?;
        self.inner.shared.set_plan(tenant, plan).await
    }

    /// During an outage, the newest plan that this process has received.
    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        match outage(self.inner.shared.plan(tenant).await) {
            Ok(result) => result,
            Err(_) => self.inner.look(tenant, |held, _| held.plan()),
        }
    }

    /// Returns an error during an outage, because no process knows the users of the others.
    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError> {
        self.inner.shared.take_seat(tenant, plan, in_use).await
    }

    /// Returns an error during an outage, like [`take_seat`](Self::take_seat).
    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError> {
        self.inner.shared.give_seat(tenant).await
    }

    /// Returns an error during an outage, like [`take_seat`](Self::take_seat).
    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError> {
        self.inner.shared.set_seats(tenant, used).await
    }

    /// Checks of this process, decided here or in Redis, and tenants in its memory.
    fn stats(&self) -> LimiterStats {
        let now = Timestamp::now(&self.inner.clock);
        let held = self.inner.tenants.stats(|held| (0, held.share.blocked_for(now).is_some()));
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = held;
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.inner.tally.stats() }
    }
}

impl fmt::Debug for FallbackTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackTenantLimiter")
            .field("shared", &self.inner.shared)
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FallbackTenantLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackTenantLimiterBuilder")
            .field("shared", &self.shared)
            .field("policy", &self.policy)
            .field("patience", &self.patience)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
