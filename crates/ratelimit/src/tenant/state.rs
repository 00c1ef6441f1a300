//! The decision over three windows, a block and the seats, pure as that of an [`Algorithm`](crate::Algorithm).
//! `lua/tenant.lua` says the same.

use std::time::Duration;

use super::decision::{decision, windows};
use super::{SeatDecision, Seats, TenantDecision, TenantPlan, TenantUsage};
use crate::algorithm::ensure_fits;
use crate::block::Block;
use crate::{
    Algorithm, BlockPolicy, CheckError, Decision, FixedWindow, FixedWindowState, SlidingWindow, SlidingWindowState,
    Timestamp,
};

/// What is remembered of a tenant: the charges of the last minute, of this hour and of this day, its block and strikes, its plan
/// and its seats. The default is a tenant that nobody has heard of.
///
/// The plan is an argument of each decision and of the state: the newer one counts at once and keeps the usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantState {
    minute: SlidingWindowState,
    hour: FixedWindowState,
    day: FixedWindowState,
    block: Block,
    /// The newest plan that has an epoch.
    plan: Option<TenantPlan>,
    seats: Option<u32>,
    /// When plan or seats were last changed, in microseconds.
    told_at: u64,
}

/// How long a plan and the seats are kept at least. Whoever still asks with an older plan has it from a cache, which is true
/// again long before.
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

    /// For what doesn't depend on the limits: when a window ends, and what is used of it.
    fn of_any_plan() -> Self {
        Self::new(&TenantPlan::from(super::Tier::Free))
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
    /// The minute is a [`SlidingWindow`]: its limit holds in any minute. Hour and day are [`FixedWindow`]s: they
    /// begin at the multiples of an hour and of 24 hours since the clock's epoch.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] when `cost` is above the smallest of the limits in force.
    pub fn check(&mut self, plan: &TenantPlan, now: Timestamp, cost: u64) -> Result<TenantDecision, CheckError> {
        self.check_under(None, "", plan, now, cost)
    }

    /// As [`check`](Self::check); a refusal of a tenant that isn't blocked is a strike and blocks it, for as long as the policy
    /// says of that name.
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
        // A refusal, too, follows a clock that was set back, or waiting would never help.
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

    /// What a check would say.
    pub(crate) fn peek(&self, plan: &TenantPlan, now: Timestamp, cost: u64) -> Result<TenantDecision, CheckError> {
        let plan = TenantPlan::or_newer(self.plan, plan);
        ensure_fits(cost, plan.limits().smallest())?;
        let (decisions, left) = (Windows::new(&plan).peek(self, now, cost)?, self.block.left(now));
        let allowed = left.is_none() && decisions.iter().all(Decision::is_allowed);
        Ok(decision(allowed, decisions, left, plan))
    }

    /// What is used of each window, of the seats and of the block at `now`. Strikes are never forgotten here, since no policy says
    /// how fast.
    pub fn usage(&self, plan: &TenantPlan, now: Timestamp) -> TenantUsage {
        self.usage_under(None, plan, now)
    }

    pub(crate) fn usage_under(&self, policy: Option<BlockPolicy>, plan: &TenantPlan, now: Timestamp) -> TenantUsage {
        let plan = TenantPlan::or_newer(self.plan, plan);
        let tools = Windows::new(&plan);
        // A cost of nothing always fits, so there is no error to lose.
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

    /// Charges every window whether it fits or not, up to twice its limit.
    pub(crate) fn penalty(&mut self, plan: &TenantPlan, now: Timestamp, cost: u64) {
        let Windows { minute, hour, day } = self.enter(plan, now);
        minute.penalty(&mut self.minute, now, cost);
        hour.penalty(&mut self.hour, now, cost);
        day.penalty(&mut self.day, now, cost);
    }

    /// Takes back from every window what was charged to it last.
    pub(crate) fn reward(&mut self, plan: &TenantPlan, now: Timestamp, amount: u64) {
        let Windows { minute, hour, day } = self.enter(plan, now);
        minute.reward(&mut self.minute, now, amount);
        hour.reward(&mut self.hour, now, amount);
        day.reward(&mut self.day, now, amount);
    }

    /// Blocks in place of any earlier block, and keeps the strikes.
    pub(crate) fn block(&mut self, policy: Option<BlockPolicy>, now: Timestamp, duration: Duration) {
        self.settle(now);
        self.block = Block::manual(now, duration, self.strikes(policy, now));
    }

    /// Ends the block and forgets the strikes. Answers whether there was a block.
    pub(crate) fn unblock(&mut self, now: Timestamp) -> bool {
        self.settle(now);
        std::mem::take(&mut self.block).left(now).is_some()
    }

    /// Forgets all but the plan and the seats. Answers whether there was anything to forget.
    pub(crate) fn reset(&mut self, policy: Option<BlockPolicy>, now: Timestamp) -> bool {
        self.settle(now);
        let used = Windows::of_any_plan().used(self, now).iter().any(|used| *used > 0);
        let known = used || self.block.left(now).is_some() || self.strikes(policy, now) > 0;
        *self = Self { plan: self.plan, seats: self.seats, told_at: self.told_at, ..Self::default() };
        known
    }

    /// Keeps the plan unless a newer one is kept. Answers whether it is in force now.
    pub(crate) fn set_plan(&mut self, plan: &TenantPlan, now: Timestamp) -> bool {
        self.settle(now);
        let is_newest = self.plan.is_none_or(|kept| kept.epoch() <= plan.epoch());
        if is_newest && plan.epoch() > 0 {
            (self.plan, self.told_at) = (Some(*plan), now.as_micros());
        }
        is_newest
    }

    /// The plan that is kept.
    pub(crate) fn plan(&self) -> Option<TenantPlan> {
        self.plan
    }

    /// Takes a seat where one is free; `in_use` counts where nothing is known.
    pub(crate) fn take_seat(&mut self, plan: &TenantPlan, now: Timestamp, in_use: u32) -> SeatDecision {
        let plan = TenantPlan::or_newer(self.plan, plan);
        self.enter(&plan, now);
        let (before, allowed) = (self.seats.unwrap_or(in_use), plan.limits().max_users());
        let taken = before < allowed.unwrap_or(u32::MAX);
        let used = before + u32::from(taken);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
        SeatDecision { taken, used, allowed }
    }

    /// Gives a seat back. Answers how many are taken now, where that is known.
    pub(crate) fn give_seat(&mut self, now: Timestamp) -> Option<u32> {
        self.settle(now);
        let used = self.seats?.saturating_sub(1);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
        self.seats
    }

    /// Counts the seats as somebody else has.
    pub(crate) fn set_seats(&mut self, now: Timestamp, used: u32) {
        self.settle(now);
        (self.seats, self.told_at) = (Some(used), now.as_micros());
    }

    /// Makes the state what it is at `now` under a plan, and answers that plan's windows.
    fn enter(&mut self, plan: &TenantPlan, now: Timestamp) -> Windows {
        let plan = TenantPlan::or_newer(self.plan, plan);
        self.adopt(&plan, now);
        self.settle(now);
        Windows::new(&plan)
    }

    /// Keeps a plan in force that has an epoch.
    fn adopt(&mut self, plan: &TenantPlan, now: Timestamp) {
        if plan.epoch() > 0 && self.plan.as_ref() != Some(plan) {
            (self.plan, self.told_at) = (Some(*plan), now.as_micros());
        }
    }

    /// Lets everything follow a clock that was set back, and forgets what no longer counts.
    fn settle(&mut self, now: Timestamp) {
        self.block.follow_clock(now);
        self.told_at = self.told_at.min(now.as_micros());
        // A cost of nothing always fits, so there is no error to lose.
        let _ = Windows::of_any_plan().charge(self, now, 0);
    }

    fn strikes(&self, policy: Option<BlockPolicy>, now: Timestamp) -> u32 {
        policy.map_or(0, |policy| policy.strikes(&self.block, now))
    }

    /// What is used of the minute, the hour and the day.
    #[cfg(feature = "redis")]
    pub(crate) fn used(&self, now: Timestamp) -> [u64; 3] {
        Windows::of_any_plan().used(self, now)
    }

    /// Forgets what is used, and charges that to each window as if at its date. The block stays.
    #[cfg(feature = "redis")]
    pub(crate) fn seed(&mut self, plan: &TenantPlan, dates: [Timestamp; 3], used: [u64; 3]) {
        let Windows { minute, hour, day } = Windows::new(plan);
        *self = Self { block: self.block, ..Self::default() };
        minute.penalty(&mut self.minute, dates[0], used[0]);
        hour.penalty(&mut self.hour, dates[1], used[1]);
        day.penalty(&mut self.day, dates[2], used[2]);
    }

    /// What is left of the block.
    pub(crate) fn blocked_for(&self, now: Timestamp) -> Option<Duration> {
        self.block.left(now)
    }

    /// From when on no window counts and the plan may be forgotten.
    pub(super) fn expires_at(&self) -> Timestamp {
        let Windows { minute, hour, day } = Windows::of_any_plan();
        let told = self.plan.is_some() || self.seats.is_some();
        let kept = if told { Timestamp::from_micros(self.told_at).saturating_add(KEPT) } else { Timestamp::MIN };
        let counts = minute.expires_at(&self.minute).max(hour.expires_at(&self.hour)).max(day.expires_at(&self.day));
        counts.max(kept)
    }

    /// What eviction compares: the strikes, and the most that is in use of any window.
    pub(super) fn weight(&self, policy: Option<BlockPolicy>, now: Timestamp) -> (u32, u64) {
        let used = Windows::of_any_plan().used(self, now).into_iter().max().unwrap_or(0);
        (self.strikes(policy, now), used)
    }
}
