//! The tenants' quota in Redis, with a local one behind it.

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
    CheckError, Clock, LimiterStats, RedisTenantLimiter, SeatDecision, SystemClock, TenantDecision, TenantLimiter,
    TenantPlan, TenantUsage,
};

/// Asks Redis, and while Redis can't be asked lets an [`OutagePolicy`] decide, as
/// [`FallbackLimiter`](super::FallbackLimiter) does.
///
/// The newest plan and the block that Redis told of last stay in force in the outage. With [`OutagePolicy::LocalShare`]:
///
/// - A tenant that Redis answered for before begins with its share of what was left of each window then.
/// - What is admitted in the outage is charged to Redis when that is back: once, however often it has to be sent, to those
///   windows alone to which it still belongs, and never with a strike. What belongs to the minute counts there for a minute from
///   then on. Before this process asks Redis for a tenant again it settles that tenant's debts. A check that was sent to Redis and got no answer is
///   not among them: it may have been charged there.
/// - In the first minute without an answer the rest of the minute is divided among the
///   [`LiveProcesses`], as [`FallbackLimiter`](super::FallbackLimiter) does.
/// - Together the processes admit at most each limit in a window that lies within the outage, and in the one in which the
///   outage begins at most the limit and the shares.
///
/// What isn't there: a block that begins in the outage, by hand or for a strike, holds in this process alone and is not taken to Redis
/// later; a plan that is set in the outage holds here and comes to Redis with the first check that brings it; seats can't be
/// taken or given back, which is an error, since no process knows of the others' users; beyond [`max_keys`](FallbackTenantLimiterBuilder::max_keys)
/// tenants the smallest debts are forgotten, as [`evicted_live`](LimiterStats::evicted_live) counts.
pub struct FallbackTenantLimiter {
    inner: Arc<Inner>,
}

struct Inner {
    shared: RedisTenantLimiter,
    policy: OutagePolicy,
    patience: Patience,
    moment: Moment,
    clock: Box<dyn Clock>,
    tenants: Store<Held>,
    /// Whether a tenant may owe Redis anything.
    is_owing: AtomicBool,
    settling: Settling,
    here: Changes,
    /// Names this limiter among all that share its quotas.
    process: String,
    number: AtomicU64,
    tally: Tally,
}

/// Collects the options of a [`FallbackTenantLimiter`]; see [`FallbackTenantLimiter::builder`].
pub struct FallbackTenantLimiterBuilder {
    shared: RedisTenantLimiter,
    policy: OutagePolicy,
    patience: Duration,
    max_keys: usize,
    live: LiveProcesses,
    clock: Box<dyn Clock>,
}

impl FallbackTenantLimiterBuilder {
    /// Decides by `policy` in an outage; [`OutagePolicy::ALONE`] unless set.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Waits for Redis' answer to a check, a block or a reset for so long at most; 40 ms unless set. Then the policy decides, also for all other checks
    /// until it is known whether Redis is away.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Holds at most `n` tenants in memory, at least one; 100,000 unless set. None goes before its place is needed: then those that
    /// owe nothing and used least, never a blocked one.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Divides what is left of a tenant's minute among the live processes while Redis is slow for a
    /// moment, as [`OutagePolicy::LocalShare`] says; this process alone unless set.
    #[must_use]
    pub fn live_processes(mut self, live: LiveProcesses) -> Self {
        self.live = live;
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
    /// Starts a limiter that falls back from `shared`.
    pub fn builder(shared: RedisTenantLimiter) -> FallbackTenantLimiterBuilder {
        FallbackTenantLimiterBuilder {
            shared,
            policy: OutagePolicy::default(),
            patience: DEFAULT_PATIENCE,
            max_keys: DEFAULT_MAX_KEYS,
            live: LiveProcesses::default(),
            clock: Box::new(SystemClock::new()),
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
        // A look begins no share: it takes no place, from whomever.
        inner.look(tenant, |held, now| {
            let plan = held.in_force(plan);
            ensure_fits(cost, plan.limits().smallest())?;
            fits_later(
                held.share_in_outage(&plan, parts, inner.sharers(parts, now), now).peek(&plan.share(parts), now, cost),
                error,
            )
        })?
    }

    /// In an outage what this process has counted of its share; an error where the policy counts nothing.
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

    /// In an outage the tenant is charged here, and in Redis when that is back; an error where the policy counts nothing.
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

    /// In an outage it is taken back here, and from what Redis is to be charged; an error where the policy counts nothing.
    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError> {
        let inner = &self.inner;
        match inner.ask(tenant, inner.shared.reward(tenant, plan, amount)).await {
            Ok(result) => result,
            Err(error) => {
                // What was sent may have been given back there.
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

    /// Blocks the tenant here in any case; an error says that other processes don't know of it.
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

    /// Unblocks the tenant here in any case; an error says that Redis still holds the block.
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

    /// Forgets the tenant's usage here in any case; an error says that Redis still remembers it.
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

    /// Keeps the plan here in any case; an error says that other processes don't know of it until a check brings it.
    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.inner.change(tenant, |held, _| held.learn_plan(plan))?;
        self.inner.shared.set_plan(tenant, plan).await
    }

    /// In an outage the newest that this process has heard of.
    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        match outage(self.inner.shared.plan(tenant).await) {
            Ok(result) => result,
            Err(_) => self.inner.look(tenant, |held, _| held.plan()),
        }
    }

    /// An error in an outage: nobody knows of the others' users then.
    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError> {
        self.inner.shared.take_seat(tenant, plan, in_use).await
    }

    /// An error in an outage, as [`take_seat`](Self::take_seat).
    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError> {
        self.inner.shared.give_seat(tenant).await
    }

    /// An error in an outage, as [`take_seat`](Self::take_seat).
    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError> {
        self.inner.shared.set_seats(tenant, used).await
    }

    /// Checks of this process, by whomever they were decided; tenants held, blocked and evicted in its memory.
    fn stats(&self) -> LimiterStats {
        let now = self.inner.clock.now();
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
