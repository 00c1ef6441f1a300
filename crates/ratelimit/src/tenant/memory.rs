//! A tenant limiter for one process.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{SeatDecision, TenantDecision, TenantLimiter, TenantPlan, TenantState, TenantUsage};
use crate::algorithm::ensure_fits;
use crate::key::ensure_short;
use crate::store::{Standing, Store};
use crate::{BlockPolicy, CheckError, Clock, LimiterStats, Timestamp};

/// A [`TenantLimiter`] that keeps one state per tenant in memory.
///
/// Tenants share only the capacity. With more tenants than the cap allows, the one with the lowest
/// charge is evicted, including its plan. Blocked tenants are never evicted.
///
/// ```
/// # use tidegate_ratelimit::{ManualClock, MemoryTenantLimiter, TenantLimiter, TenantPlan, Tier};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidegate_ratelimit::CheckError> {
/// let tenants = MemoryTenantLimiter::new(ManualClock::default(), 10_000);
/// let free = TenantPlan::from(Tier::FREE).at_epoch(1);
/// for _ in 0..60 {
///     assert!(tenants.check("t1", &free, 1).await?.allowed);
/// }
/// let refused = tenants.check("t1", &free, 1).await?;
/// assert_eq!((refused.allowed, refused.binding().name), (false, "minute"));
/// // Nothing was charged to the hour.
/// assert_eq!(tenants.usage("t1", &free).await?.windows[1].used, 60);
/// // A new plan applies immediately, even if a caller still passes the old one.
/// tenants.set_plan("t1", &TenantPlan::from(Tier::PREMIUM).at_epoch(2)).await?;
/// assert!(tenants.check("t1", &free, 1).await?.allowed);
/// # Ok(())
/// # }
/// ```
pub struct MemoryTenantLimiter {
    clock: Clock,
    policy: Option<BlockPolicy>,
    store: Store<Entry>,
}

#[derive(Default)]
struct Entry {
    state: TenantState,
    denied: u64,
}

impl MemoryTenantLimiter {
    /// Creates a limiter for at most `max_keys` tenants; zero counts as one. Hours and days begin
    /// according to `clock`.
    pub fn new(clock: impl Into<Clock>, max_keys: usize) -> Self {
        Self { clock: clock.into(), policy: None, store: Store::new(max_keys) }
    }

    /// Blocks a tenant that exceeds its quota. By default it only waits until the cost fits again.
    #[must_use]
    pub fn with_block(mut self, policy: BlockPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Changes the tenant's state. Creates the state if there is none.
    fn change<R>(&self, tenant: &str, work: impl FnOnce(&mut TenantState, Timestamp) -> R) -> Result<R, CheckError> {
        let mut place = self.store.lock(tenant);
        // Read under the lock, so that a tenant's times follow the order of its decisions.
        let now = Timestamp::now(&self.clock);
        place.with(|entry| self.standing(entry, now), Entry::default, |entry| work(&mut entry.state, now))
    }

    /// Changes the tenant's state. If there is none, the change applies to a temporary state.
    fn change_known<R>(
        &self,
        tenant: &str,
        work: impl FnOnce(&mut TenantState, Timestamp) -> R,
    ) -> Result<R, CheckError> {
        ensure_short(tenant)?;
        let mut place = self.store.lock(tenant);
        let now = Timestamp::now(&self.clock);
        let mut none = TenantState::default();
        Ok(work(place.get_mut().map_or(&mut none, |(_, entry)| &mut entry.state), now))
    }

    fn look<R>(&self, tenant: &str, work: impl FnOnce(&TenantState, Timestamp) -> R) -> Result<R, CheckError> {
        ensure_short(tenant)?;
        let place = self.store.lock(tenant);
        let now = Timestamp::now(&self.clock);
        Ok(match place.get() {
            Some(entry) => work(&entry.state, now),
            None => work(&TenantState::default(), now),
        })
    }

    fn standing(&self, entry: &Entry, now: Timestamp) -> Standing {
        if entry.state.blocked_for(now).is_some() {
            return Standing::Pinned;
        }
        let (strikes, used) = entry.state.weight(self.policy, now);
        if strikes == 0 && entry.state.expires_at() <= now {
            return Standing::Expired;
        }
        Standing::Live(strikes, used)
    }
}

#[async_trait]
impl TenantLimiter for MemoryTenantLimiter {
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let mut place = self.store.lock(tenant);
        let now = Timestamp::now(&self.clock);
        let standing = |entry: &Entry| self.standing(entry, now);
        let decide = |entry: &mut Entry| {
            let decision = entry.state.check_under(self.policy, tenant, plan, now, cost)?;
            entry.denied += u64::from(!decision.allowed);
            Ok(decision)
        };
        let fits = match place.get() {
            Some(_) => Ok(()),
            // A cost that can never fit does not create a state.
            None => ensure_short(tenant).and_then(|()| ensure_fits(cost, plan.limits().smallest())),
        };
        let result = fits.and_then(|()| place.with(standing, Entry::default, decide)?);
        place.count(&result, |decision| decision.allowed);
        result
    }

    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        self.look(tenant, |state, now| state.peek(plan, now, cost))?
    }

    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError> {
        self.look(tenant, |state, now| state.usage_under(self.policy, plan, now))
    }

    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError> {
        self.change(tenant, |state, now| {
            state.penalty(plan, now, cost);
            state.usage_under(self.policy, plan, now)
        })
    }

    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError> {
        self.change_known(tenant, |state, now| {
            state.reward(plan, now, amount);
            state.usage_under(self.policy, plan, now)
        })
    }

    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError> {
        self.change(tenant, |state, now| state.block(self.policy, now, duration))
    }

    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError> {
        self.change_known(tenant, TenantState::unblock)
    }

    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        ensure_short(tenant)?;
        let mut place = self.store.lock(tenant);
        let now = Timestamp::now(&self.clock);
        let Some((_, entry)) = place.get_mut() else { return Ok(false) };
        let was_known = entry.state.reset(self.policy, now);
        entry.denied = 0;
        if entry.state == TenantState::default() {
            place.remove();
        }
        Ok(was_known)
    }

    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.change(tenant, |state, now| state.set_plan(plan, now))
    }

    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        self.look(tenant, |state, _| state.plan())
    }

    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError> {
        self.change(tenant, |state, now| state.take_seat(plan, now, in_use))
    }

    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError> {
        self.change_known(tenant, TenantState::give_seat)
    }

    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError> {
        self.change(tenant, |state, now| state.set_seats(now, used))
    }

    fn stats(&self) -> LimiterStats {
        let now = Timestamp::now(&self.clock);
        self.store.stats(|entry| (entry.denied, entry.state.blocked_for(now).is_some()))
    }
}

impl fmt::Debug for MemoryTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTenantLimiter").field("block", &self.policy).finish_non_exhaustive()
    }
}
