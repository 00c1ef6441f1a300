//! The state of a tenant: three windows, a block and the seats. Decisions are pure functions, as in
//! an [`Algorithm`](crate::Algorithm). `lua/tenant.lua` implements the same.

use std::time::Duration;

use super::decision::{decision, windows};
use super::{SeatDecision, Seats, TenantDecision, TenantPlan, TenantUsage};
use crate::algorithm::ensure_fits;
use crate::block::Block;
use crate::{
    Algorithm, BlockPolicy, CheckError, Decision, FixedWindow, FixedWindowState, SlidingWindow, SlidingWindowState,
    Timestamp,
};

/// State that is kept for a tenant: the charges of the last minute, of this hour and of this day,
/// its block and strikes, its plan and its seats. The default is an unknown tenant.
///
/// The plan is an argument of each decision and part of the state. The newer one applies
/// immediately, and the usage is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantState {
    minute: SlidingWindowState,
    hour: FixedWindowState,
    day: FixedWindowState,
    block: Block,
    /// The plan with the highest epoch. `None` if none with an epoch was received.
    plan: Option<TenantPlan>,
    seats: Option<u32>,
    /// Time of the last change of the plan or the seats, in microseconds.
    told_at: u64,
}

/// Minimum time for which a plan and the seats are kept. A caller that still passes an older plan
/// has it from a cache, which is updated long before that time.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

struct Windows {
    minute: SlidingWindow,
    hour: FixedWindow,
    day: FixedWindow,
}

impl Windows {
    fn new(plan: &TenantPlan) -> Self {
        let [minute, hour, day] = plan.limits().quotas();
        Self { minute: SlidingWindow::new(minute), hour: FixedWindow::new(hour), day: FixedWindow::new(day) }
    }

    /// For operations that do not depend on the limits: the end of a window, and its usage.
    fn of_any_plan() -> Self {
        Self::new(&TenantPlan::from(super::Tier::FREE))
    }

    fn peek(&self, state: &TenantState, now: Timestamp, cost: u64) -> Result<[Decision; 3], CheckError> {
        Ok([
            self.minute.peek(&state.minute, now, cost)?,
            self.hour.peek(&state.hour, now, cost)?,
            self.day.peek(&state.day, now, cost)?,
        ])
    }

    fn charge(&self, state: &mut TenantState, now: Timestamp, cost: u64) -> Result<[Decision; 3], CheckError> {
        Ok([
            self.minute.check(&mut state.minute, now, cost)?,
            self.hour.check(&mut state.hour, now, cost)?,
            self.day.check(&mut state.day, now, cost)?,
        ])
    }

    fn used(&self, state: &TenantState, now: Timestamp) -> [u64; 3] {
        [
            self.minute.charged(&state.minute, now),
            self.hour.charged(&state.hour, now),
            self.day.charged(&state.day, now),
        ]
    }
}

impl TenantState {
    /// Admits and charges `cost` to every window, or refuses and charges none.
    ///
    /// The minute is a [`SlidingWindow`]: its limit applies to any minute. Hour and day are
    /// [`FixedWindow`]s, which begin at the multiples of 1 hour and 24 hours since the clock's
    /// epoch.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] if `cost` is above the smallest limit that applies.
    pub fn check(&mut self, plan: &TenantPlan, now: Timestamp, cost: u64) -> Result<TenantDecision, CheckError> {
        self.check_under(None, "", plan, now, cost)
    }

    /// Same as [`check`](Self::check) with a block policy. A refusal of an unblocked tenant counts
    /// as a strike and blocks it for the time that the policy gives for that name.
    pub(crate) fn check_under(
        &mut self,
        policy: Option<BlockPolicy>,
        tenant: &str,
        plan: &TenantPlan,
        now: Timestamp,
        cost: u64,
    ) -> Result<TenantDecision, CheckError> {
        let plan = TenantPlan::or_newer(self.plan, plan);
        ensure_fits(cost, plan.limits().smallest())?;
        self.adopt(&plan, now);
        let windows = Windows::new(&plan);
        // A refusal also adjusts the state to a clock that was set back, or waiting would not help.
        self.settle(now);
        let (mut decisions, mut left) = (windows.peek(self, now, cost)?, self.block.left(now));
        let allowed = left.is_none() && decisions.iter().all(Decision::is_allowed);
        if allowed {
            decisions = windows.charge(self, now, cost)?;
        } else if let (Some(policy), None) = (policy, left) {
            left = Some(policy.strike(&mut self.block, now, tenant));
        }
        Ok(decision(allowed, decisions, left, plan))
    }

    pub(crate) fn peek(&self, plan: &TenantPlan, now: Timestamp, cost: u64) -> Result<TenantDecision, CheckError> {
        let plan = TenantPlan::or_newer(self.plan, plan);
        ensure_fits(cost, plan.limits().smallest())?;
        let (decisions, left) = (Windows::new(&plan).peek(self, now, cost)?, self.block.left(now));
        let allowed = left.is_none() && decisions.iter().all(Decision::is_allowed);
        Ok(decision(allowed, decisions, left, plan))
    }

    /// The usage of each window and the seats, and the block, at `now`. Strikes do not expire here,
    /// because there is no policy that defines their decay.
    pub fn usage(&self, plan: &TenantPlan, now: Timestamp) -> TenantUsage {
        self.usage_under(None, plan, now)
    }

    pub(crate) fn usage_under(&self, policy: Option<BlockPolicy>, plan: &TenantPlan, now: Timestamp) -> TenantUsage {
        let plan = TenantPlan::or_newer(self.plan, plan);
        let tools = Windows::new(&plan);
        // A cost of zero always fits, so no error is ignored here.
        let resets = tools.peek(self, now, 0).map(|decisions| decisions.map(|decision| decision.reset_after()));
        let [minute, hour, day] = resets.unwrap_or_default();
        let [in_minute, in_hour, in_day] = tools.used(self, now);
        TenantUsage {
            windows: windows(&plan, [(in_minute, minute), (in_hour, hour), (in_day, day)]),
            seats: Seats { used: self.seats, allowed: plan.limits().max_users() },
            blocked_for: self.block.left(now),
            strikes: self.strikes(policy, now),
            plan,
        }
    }

    pub(crate) fn penalty(&mut self, plan: &TenantPlan, now: Timestamp, cost: u64) {
        let Windows { minute, hour, day } = self.enter(plan, now);
        minute.penalty(&mut self.minute, now, cost);
        hour.penalty(&mut self.hour, now, cost);
        day.penalty(&mut self.day, now, cost);
    }

    pub(crate) fn reward(&mut self, plan: &TenantPlan, now: Timestamp, amount: u64) {
        let Windows { minute, hour, day } = self.enter(plan, now);
        minute.reward(&mut self.minute, now, amount);
        hour.reward(&mut self.hour, now, amount);
        day.reward(&mut self.day, now, amount);
    }

    /// Blocks the tenant. Replaces an earlier block and keeps the strikes.
    pub(crate) fn block(&mut self, policy: Option<BlockPolicy>, now: Timestamp, duration: Duration) {
        self.settle(now);
        self.block = Block::manual(now, duration, self.strikes(policy, now));
    }

    /// Ends the block and removes the strikes. Returns whether there was a block.
    pub(crate) fn unblock(&mut self, now: Timestamp) -> bool {
        self.settle(now);
        std::mem::take(&mut self.block).left(now).is_some()
    }

    /// Removes everything except the plan and the seats. Returns whether anything was removed.
    pub(crate) fn reset(&mut self, policy: Option<BlockPolicy>, now: Timestamp) -> bool {
        self.settle(now);
        let used = Windows::of_any_plan().used(self, now).iter().any(|used| *used > 0);
        let known = used || self.block.left(now).is_some() || self.strikes(policy, now) > 0;
        *self = Self { plan: self.plan, seats: self.seats, told_at: self.told_at, ..Self::default() };
        known
    }

    /// Stores the plan unless a newer one is stored. Returns whether it applies now.
    pub(crate) fn set_plan(&mut self, plan: &TenantPlan, now: Timestamp) -> bool {
        self.settle(now);
        let is_newest = self.plan.is_none_or(|kept| kept.epoch() <= plan.epoch());
        if is_newest && plan.epoch() > 0 {
            (self.plan, self.told_at) = (Some(*plan), now.as_micros());
        }
        is_newest
    }

    pub(crate) fn plan(&self) -> Option<TenantPlan> {
        self.plan
    }

    /// Takes a seat if one is free. `in_use` is used if no number is stored.
    pub(crate) fn take_seat(&mut self, plan: &TenantPlan, now: Timestamp, in_use: u32) -> SeatDecision {
        let plan = TenantPlan::or_newer(self.plan, plan);
        self.enter(&plan, now);
        let (before, allowed) = (self.seats.unwrap_or(in_use), plan.limits().max_users());
        let taken = before < allowed.unwrap_or(u32::MAX);
        let used = before + u32::from(taken);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
        SeatDecision { taken, used, allowed }
    }

    /// Returns a seat. Returns the number of seats in use, or `None` if no number is stored.
    pub(crate) fn give_seat(&mut self, now: Timestamp) -> Option<u32> {
        self.settle(now);
        let used = self.seats?.saturating_sub(1);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
        self.seats
    }

    pub(crate) fn set_seats(&mut self, now: Timestamp, used: u32) {
        self.settle(now);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
    }

    /// Updates the state to `now` with the plan that applies, and returns that plan's windows.
    fn enter(&mut self, plan: &TenantPlan, now: Timestamp) -> Windows {
        let plan = TenantPlan::or_newer(self.plan, plan);
        self.adopt(&plan, now);
        self.settle(now);
        Windows::new(&plan)
    }

    /// Stores the plan that applies if it has an epoch.
    fn adopt(&mut self, plan: &TenantPlan, now: Timestamp) {
        if plan.epoch() > 0 && self.plan.as_ref() != Some(plan) {
            (self.plan, self.told_at) = (Some(*plan), now.as_micros());
        }
    }

    /// Adjusts the state to a clock that was set back, and removes expired charges.
    fn settle(&mut self, now: Timestamp) {
        self.block.follow_clock(now);
        self.told_at = self.told_at.min(now.as_micros());
        // A cost of zero always fits, so no error is ignored here.
        let _ = Windows::of_any_plan().charge(self, now, 0);
    }

    fn strikes(&self, policy: Option<BlockPolicy>, now: Timestamp) -> u32 {
        policy.map_or(0, |policy| policy.strikes(&self.block, now))
    }

    #[cfg(feature = "redis")]
    pub(crate) fn used(&self, now: Timestamp) -> [u64; 3] {
        Windows::of_any_plan().used(self, now)
    }

    /// Replaces the usage: charges `used` to each window as if at its date. The block is kept.
    #[cfg(feature = "redis")]
    pub(crate) fn seed(&mut self, plan: &TenantPlan, dates: [Timestamp; 3], used: [u64; 3]) {
        let Windows { minute, hour, day } = Windows::new(plan);
        *self = Self { block: self.block, ..Self::default() };
        minute.penalty(&mut self.minute, dates[0], used[0]);
        hour.penalty(&mut self.hour, dates[1], used[1]);
        day.penalty(&mut self.day, dates[2], used[2]);
    }

    pub(crate) fn blocked_for(&self, now: Timestamp) -> Option<Duration> {
        self.block.left(now)
    }

    /// Time from which no window counts and the plan may be removed.
    pub(super) fn expires_at(&self) -> Timestamp {
        let Windows { minute, hour, day } = Windows::of_any_plan();
        let told = self.plan.is_some() || self.seats.is_some();
        let kept = if told { Timestamp::from_micros(self.told_at).saturating_add(KEPT) } else { Timestamp::MIN };
        let counts = minute.expires_at(&self.minute).max(hour.expires_at(&self.hour)).max(day.expires_at(&self.day));
        counts.max(kept)
    }

    /// The values that eviction compares: the strikes, and the maximum usage over all windows.
    pub(super) fn weight(&self, policy: Option<BlockPolicy>, now: Timestamp) -> (u32, u64) {
        let used = Windows::of_any_plan().used(self, now).into_iter().max().unwrap_or(0);
        (self.strikes(policy, now), used)
    }
}
