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
use super::builder::FallbackBuilder;
use super::outage::Outage;
use super::{fits_later, or_outage};
use crate::algorithm::ensure_fits;
use crate::limiter::Forgetting;
use crate::store::Store;
use crate::{
    CheckError, LimiterStats, RedisTenantLimiter, SeatDecision, TenantDecision, TenantLimiter, TenantPlan, TenantUsage,
};

/// Sends each request to Redis. While Redis cannot be reached, an
/// [`OutagePolicy`](super::OutagePolicy) decides, as in
/// [`FallbackLimiter`](super::FallbackLimiter).
///
/// The newest plan and the last block that Redis reported remain in force during the outage. With
/// [`OutagePolicy::LocalShare`](super::OutagePolicy::LocalShare):
///
/// - A tenant that Redis has reported begins with its share of each window's remaining amount.
/// - Amounts that are admitted during the outage are charged to Redis afterwards: once, however
///   often they have to be sent, only to windows in which they still count, and never with a
///   strike. An amount of the minute counts in Redis for one minute from then on. Before this
///   process sends a request for a tenant to Redis, it settles that tenant's debts. A check that
///   was sent to Redis without a reply is not a debt, because Redis may have charged it.
/// - In the first minute without a reply, the remaining amount of the minute is divided among the
///   [`LiveProcesses`](crate::LiveProcesses), as in [`FallbackLimiter`](super::FallbackLimiter).
/// - Together the processes admit at most each limit in a window within the outage. In the window
///   in which the outage begins, they admit at most the limit plus the shares.
///
/// Limitations:
///
/// - A block that begins during the outage, manually or after a strike, applies only in this
///   process and is not sent to Redis later.
/// - A plan that is set during the outage applies here. Redis gets it with a check that passes it.
/// - Taking or returning seats fails, because no process knows the users of the others.
/// - Above [`max_keys`](FallbackBuilder::max_keys) tenants, the smallest debts are
///   removed, which [`evicted_live`](LimiterStats::evicted_live) counts.
pub struct FallbackTenantLimiter {
    inner: Arc<Inner>,
}

struct Inner {
    shared: RedisTenantLimiter,
    outage: Outage,
    tenants: Store<Held>,
    /// Whether a tenant may have debts to Redis.
    is_owing: AtomicBool,
    /// Identifies this limiter among all that share its quotas.
    process: String,
    number: AtomicU64,
}

impl FallbackBuilder<RedisTenantLimiter> {
    /// Builds the limiter.
    pub fn build(self) -> FallbackTenantLimiter {
        let inner = Inner {
            outage: self.outage(),
            shared: self.shared,
            tenants: Store::new(self.max_keys),
            is_owing: AtomicBool::new(false),
            process: format!("{:016x}", RandomState::new().hash_one("process")),
            number: AtomicU64::new(0),
        };
        FallbackTenantLimiter { inner: Arc::new(inner) }
    }
}

impl FallbackTenantLimiter {
    /// Returns a builder for a limiter that falls back from `shared`.
    pub fn builder(shared: RedisTenantLimiter) -> FallbackBuilder<RedisTenantLimiter> {
        FallbackBuilder::new(shared)
    }
}

#[async_trait]
impl TenantLimiter for FallbackTenantLimiter {
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let result = self.inner.decide(tenant, plan, cost).await;
        self.inner.outage.tally.count(tenant, result, |decision| decision.allowed)
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
                held.share_in_outage(&plan, parts, inner.sharers(now), now).peek(&plan.share(parts), now, cost),
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
            let (state, share) = (held.share_in_outage(&plan, parts, inner.sharers(now), now), plan.share(parts));
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
            inner.outage.here.by_hand(tenant);
            let _ = inner.change(tenant, |held, now| held.block(now, until.saturating_since(now)));
        });
        let result = inner.ask(tenant, inner.shared.block(tenant, duration)).await;
        drop(blocking);
        result?
    }

    /// Always unblocks the tenant here. An error means that Redis still stores the block.
    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let unblock = || Ok(inner.known(tenant, |held, now| Some(held.share.unblock(now))).unwrap_or(false));
        inner.outage.remove(tenant, unblock, inner.ask(tenant, inner.shared.unblock(tenant))).await
    }

    /// Always resets the tenant's usage in this process. An error means that Redis still stores it.
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        let inner = &self.inner;
        let reset = || Ok(inner.known(tenant, |held, now| Some(held.reset(now))).unwrap_or(false));
        inner.outage.remove(tenant, reset, inner.ask(tenant, inner.shared.reset(tenant))).await
    }

    /// Always stores the plan here. An error means that others get it only from a check.
    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.inner.change(tenant, |held, _| held.learn_plan(plan))?;
        self.inner.shared.set_plan(tenant, plan).await
    }

    /// During an outage, the newest plan that this process has received.
    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        match or_outage(self.inner.shared.plan(tenant).await) {
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
        let now = self.inner.outage.now();
        let held = self.inner.tenants.stats(|held| (0, held.share.blocked_for(now).is_some()));
        let LimiterStats { tracked_keys, blocked_keys, evicted_live, .. } = held;
        LimiterStats { tracked_keys, blocked_keys, evicted_live, ..self.inner.outage.tally.stats() }
    }
}

impl fmt::Debug for FallbackTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackTenantLimiter")
            .field("shared", &self.inner.shared)
            .field("policy", &self.inner.outage.policy)
            .finish_non_exhaustive()
    }
}
