//! The state of a tenant in this process, before and during an outage.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::limiter::Learn;
use crate::store::Standing;
use crate::{TenantDecision, TenantPlan, TenantState, Timestamp};

pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// One tenant.
///
/// It is kept until its capacity is needed: at most the limiter's `max_keys` tenants are stored,
/// and those without debts and with the least usage are evicted first.
#[derive(Default)]
pub(super) struct Held {
    /// The newest plan from any source.
    plan: Option<TenantPlan>,
    /// Usage of each window in the last reply of Redis, with the time of the reply.
    known: Option<(Timestamp, [u64; 3])>,
    /// The block. During an outage also the share of each window.
    pub(super) share: TenantState,
    is_in_outage: bool,
    /// Amounts not yet sent to Redis, per window, so that they expire with it.
    debts: TenantState,
    /// The plan for charging them: the newest, or among those without an epoch the largest limits.
    owed_under: Option<TenantPlan>,
    /// Debit that was sent without a reply, to be repeated with its number.
    sent: Option<Arc<Sent>>,
}

/// A debit that is being sent.
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) plan: TenantPlan,
    debts: TenantState,
}

impl Sent {
    /// Amounts that still count in each window at `now`.
    pub(super) fn amounts(&self, now: Timestamp) -> [u64; 3] {
        self.debts.used(now)
    }
}

impl Held {
    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        if self.share.blocked_for(now).is_some() {
            return Standing::Pinned;
        }
        let owed = self.owed(now);
        let known = self.known.map_or(0, |(_, used)| used[0]);
        Standing::Live(u32::from(owed > 0), owed.max(known))
    }

    fn owed(&self, now: Timestamp) -> u64 {
        self.debts.used(now)[2] + self.sent.as_ref().map_or(0, |sent| sent.amounts(now)[2])
    }

    /// The plan that applies if a request passes `brought`.
    pub(super) fn in_force(&self, brought: &TenantPlan) -> TenantPlan {
        TenantPlan::or_newer(self.plan, brought)
    }

    pub(super) fn plan(&self) -> Option<TenantPlan> {
        self.plan
    }

    pub(super) fn learn_plan(&mut self, plan: &TenantPlan) {
        if plan.epoch() > 0 {
            self.plan = Some(self.in_force(plan));
        }
    }

    /// Applies the part of a reply that `learn` selects. [`Learn::All`] ends the outage.
    pub(super) fn learn(&mut self, decision: &TenantDecision, used: [u64; 3], now: Timestamp, learn: Learn) {
        if learn == Learn::Nothing {
            return;
        }
        self.learn_plan(&decision.plan);
        let (here, there) = (self.share.blocked_for(now), decision.blocked_for);
        if learn == Learn::All {
            (self.known, self.is_in_outage) = (Some((now, used)), false);
        }
        if here < there || (learn == Learn::All && here.is_some()) {
            self.share.block(None, now, there.unwrap_or_default());
        }
    }

    /// Begins the shares of an outage, unless they have begun: each with its part of the remaining
    /// amount that Redis reported. The remaining amount of the minute is divided among `sharers`,
    /// which is at least `parts`.
    pub(super) fn begin_outage(&mut self, plan: &TenantPlan, parts: NonZeroU32, sharers: NonZeroU32, now: Timestamp) {
        if self.is_in_outage {
            return;
        }
        self.share = self.share_in_outage(plan, parts, sharers, now);
        (self.known, self.is_in_outage) = (None, true);
    }

    /// The share during an outage: the current one, or the one that would begin now.
    pub(super) fn share_in_outage(
        &self,
        plan: &TenantPlan,
        parts: NonZeroU32,
        sharers: NonZeroU32,
        now: Timestamp,
    ) -> TenantState {
        let mut state = self.share.clone();
        if self.is_in_outage {
            return state;
        }
        let share = plan.share(parts);
        let limits = plan.limits().quotas().map(|quota| quota.limit());
        let parts_of = share.limits().quotas().map(|quota| quota.limit());
        let gone = |window: usize, left: u64| parts_of[window].saturating_sub(left);
        let among = |left: u64, sharers: NonZeroU32| left / u64::from(sharers.get());
        let of_whole_minute = if sharers > parts { gone(0, among(limits[0], sharers).max(1)) } else { 0 };
        if let Some((date, used)) = self.known {
            let left = |window: usize| limits[window].saturating_sub(used[window]);
            let has_passed = now.saturating_since(date) >= MINUTE;
            let of_minute = if has_passed { of_whole_minute } else { gone(0, among(left(0), sharers)) };
            // The part of the other processes is reserved for a whole minute from now on.
            let date_of_minute = if sharers > parts { now } else { date };
            let used = [of_minute, gone(1, among(left(1), parts)), gone(2, among(left(2), parts))];
            state.seed(&share, [date_of_minute, date, date], used);
        } else {
            // Redis has not reported it, so it begins with its whole share of the hour and day.
            state.seed(&share, [now; 3], [of_whole_minute, 0, 0]);
        }
        state
    }

    pub(super) fn owe(&mut self, plan: &TenantPlan, now: Timestamp, amount: u64) {
        // A smaller plan of a later check must not reduce what a larger one admitted.
        let plan = match self.owed_under {
            Some(before) if before.epoch() == 0 && plan.epoch() == 0 => plan.with_greatest(&before),
            before => TenantPlan::or_newer(before, plan),
        };
        self.owed_under = Some(plan);
        self.debts.penalty(&plan, now, amount);
    }

    pub(super) fn take_back(&mut self, plan: &TenantPlan, now: Timestamp, amount: u64) {
        self.debts.reward(plan, now, amount);
    }

    pub(super) fn owes(&self, now: Timestamp) -> bool {
        self.sent.is_some() || self.debts.used(now) != [0; 3]
    }

    /// The debit to send. A new one gets its number from `next`. `None` if nothing is owed.
    pub(super) fn send(&mut self, now: Timestamp, next: impl FnOnce() -> u64) -> Option<Arc<Sent>> {
        if self.sent.is_none() && self.debts.used(now) != [0; 3] {
            let debts = std::mem::take(&mut self.debts);
            let plan = self.owed_under.take().map(|plan| self.in_force(&plan));
            self.sent = plan.map(|plan| Arc::new(Sent { number: next(), plan, debts }));
        }
        self.sent.clone()
    }

    pub(super) fn settled(&mut self, number: u64) {
        self.sent.take_if(|sent| sent.number == number);
    }

    /// Removes everything except the plan. Returns whether there was a debt or a block.
    pub(super) fn reset(&mut self, now: Timestamp) -> bool {
        let was_known = self.owed(now) > 0 || self.share.blocked_for(now).is_some();
        *self = Self { plan: self.plan, is_in_outage: self.is_in_outage, ..Self::default() };
        was_known
    }

    pub(super) fn block(&mut self, now: Timestamp, duration: Duration) {
        self.share.block(None, now, duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tier, TierLimits};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(20_000 * 86_400_000_000 + 1_000_000 * seconds)
    }

    #[test]
    fn debts_without_an_epoch_are_charged_under_the_plan_that_admitted_them() {
        let own: TenantPlan = TierLimits::new(90_000, 900_000, 9_000_000, None).unwrap().into();
        let mut held = Held::default();
        held.owe(&own, at(0), 80_000);
        // A smaller plan after it does not reduce anything either.
        held.owe(&Tier::FREE.into(), at(1), 50);
        held.owe(&own, at(2), 5_000);
        let sent = held.send(at(3), || 1).unwrap();
        assert_eq!((sent.amounts(at(3)), *sent.plan.limits()), ([85_050; 3], *own.limits()));
        held.settled(1);
        held.owe(&Tier::FREE.into(), at(4), 50);
        assert_eq!(held.send(at(5), || 2).unwrap().plan, Tier::FREE.into());
    }

    #[test]
    fn a_tenant_whose_block_has_passed_has_its_share_of_what_was_left() {
        let plan = TenantPlan::from(Tier::FREE);
        let mut in_redis = TenantState::default();
        assert!(in_redis.check(&plan, at(0), 60).unwrap().allowed);
        in_redis.block(None, at(1), Duration::from_secs(10));
        let decision = in_redis.check(&plan, at(1), 1).unwrap();
        assert_eq!(decision.windows.map(|window| window.decision.remaining()), [0; 3]);
        let mut held = Held::default();
        held.learn(&decision, in_redis.used(at(1)), at(1), Learn::All);
        held.begin_outage(&plan, NonZeroU32::MIN, NonZeroU32::MIN, at(1));
        assert_eq!((held.share.used(at(2)), held.share.blocked_for(at(2)).is_some()), ([60; 3], true));
        let later = held.share.check(&plan, at(62), 60).unwrap();
        assert!(later.allowed, "{later:?}");
    }

    #[test]
    fn in_a_moment_the_rest_of_the_minute_is_divided_and_kept_for_a_minute() {
        let plan = TenantPlan::from(Tier::FREE);
        let three = NonZeroU32::new(3).unwrap();
        let mut in_redis = TenantState::default();
        let decision = in_redis.check(&plan, at(0), 30).unwrap();
        let begun = |second: u64| {
            let mut held = Held::default();
            held.learn(&decision, in_redis.used(at(0)), at(0), Learn::All);
            held.begin_outage(&plan, NonZeroU32::MIN, three, at(second));
            held.share
        };
        let left = |share: &mut TenantState, second: u64| {
            (0..100).filter(|_| share.check(&plan, at(second), 1).unwrap().allowed).count()
        };
        let limit = usize::try_from(plan.limits().per_minute()).unwrap();
        // Shortly before the reported minute is over, and after it.
        for (second, part) in [(50, (limit - 30) / 3), (70, limit / 3)] {
            let mut share = begun(second);
            assert_eq!((left(&mut share, second), left(&mut share, second + 30)), (part, 0), "{second}");
            assert_eq!(left(&mut share, second + 60), limit);
        }
        let mut unknown = Held::default();
        unknown.begin_outage(&plan, NonZeroU32::MIN, three, at(0));
        assert_eq!(left(&mut unknown.share, 0), limit / 3);
    }

    #[test]
    fn the_newest_plan_is_the_one_that_debts_are_charged_under() {
        let mut held = Held::default();
        let [old, new] = [TenantPlan::from(Tier::FREE).at_epoch(1), TenantPlan::from(Tier::PREMIUM).at_epoch(2)];
        held.owe(&old, at(0), 10);
        held.owe(&new, at(1), 10);
        held.owe(&old, at(2), 10);
        assert_eq!(held.send(at(3), || 1).unwrap().plan, new);
    }
}
