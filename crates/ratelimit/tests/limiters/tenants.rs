//! The tenant's three windows.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, CheckError, ManualClock, MemoryTenantLimiter, Overrides, TenantLimiter, TenantPlan, TenantState, Tier,
    TierLimits, Timestamp,
};

use crate::support::now;

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time in the middle of a day, far from any window's boundary.
const NOON: u64 = 20_000 * DAY + 12 * HOUR + 7 * MINUTE;

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn used(state: &TenantState, plan: &TenantPlan, now: u64) -> [u64; 3] {
    state.usage(plan, at(now)).windows.map(|window| window.used)
}

proptest! {
    /// From a new state the first 60 pass however they are spread, the 61st within the minute does
    /// not, and no minute ever contains more than 60.
    #[test]
    fn a_free_tenant_has_sixty_in_any_minute(
        offset in 0..2 * DAY,
        gaps in prop::collection::vec(prop_oneof![0_u64..30_000, 0_u64..2_000_000], 61..400),
    ) {
        let limits = TenantPlan::from(Tier::FREE);
        let mut state = TenantState::default();
        let (mut now, mut admitted) = (NOON + offset, Vec::<u64>::new());
        for gap in gaps {
            now += gap;
            let decision = state.check(&limits, at(now), 1)?;
            let first_sixty = admitted.len() < 60;
            prop_assert!(decision.allowed || !first_sixty);
            if decision.allowed {
                admitted.push(now);
            } else {
                prop_assert_eq!(decision.binding().name, "minute");
            }
        }
        prop_assert!(admitted.windows(61).all(|run| run[60] - run[0] >= MINUTE));
    }

    /// A refusal charges no window, an admission charges every window, and each window keeps its
    /// bound.
    #[test]
    fn all_windows_or_none(
        minute in 1_u64..8, hour in 1_u64..20, day in 1_u64..40,
        steps in prop::collection::vec((prop_oneof![Just(0), 0..MINUTE, 0..HOUR, 0..DAY], 0_u64..4), 1..150),
    ) {
        let limits = TenantPlan::from(TierLimits::new(minute, hour, day, None)?);
        let mut state = TenantState::default();
        let (mut now, mut admitted) = (NOON, Vec::<(u64, u64)>::new());
        for (gap, cost) in steps {
            now += gap;
            let before = used(&state, &limits, now);
            let decision = match state.check(&limits, at(now), cost) {
                Ok(decision) => decision,
                Err(error) => {
                    let limit = minute.min(hour).min(day);
                    prop_assert_eq!(error, CheckError::CostExceedsLimit { cost, limit });
                    prop_assert!(cost > limit);
                    continue;
                }
            };
            let after = used(&state, &limits, now);
            if decision.allowed {
                admitted.push((now, cost));
                prop_assert_eq!(after, before.map(|used| used + cost));
            } else {
                prop_assert_eq!(after, before);
                prop_assert!(decision.windows.iter().any(|window| !window.decision.is_allowed()));
                // Waiting for `retry_after` is sufficient for all windows at once.
                let wait = decision.retry_after().expect("a refusal says when to come back");
                let later = at(now).saturating_add(wait);
                prop_assert!(state.clone().check(&limits, later, cost)?.allowed);
            }
        }
        let sum = |within: &dyn Fn(u64) -> bool| -> u64 {
            admitted.iter().filter(|(at, _)| within(*at)).map(|(_, cost)| cost).sum()
        };
        for (start, _) in &admitted {
            prop_assert!(sum(&|at| at >= *start && at - start < MINUTE) <= minute);
            prop_assert!(sum(&|at| at / HOUR == start / HOUR) <= hour);
            prop_assert!(sum(&|at| at / DAY == start / DAY) <= day);
        }
    }
}

/// A tenant must not be locked out until a clock that was set back has caught up. A refusal must
/// also record the step, or the next check would find the same state and refuse again.
#[test]
fn a_clock_set_back_locks_no_tenant_out() {
    for (step, limits) in [
        (2 * MINUTE, TierLimits::new(3, 100, 100, None).unwrap()),
        (3 * HOUR, TierLimits::new(100, 3, 100, None).unwrap()),
        (3 * DAY, TierLimits::new(100, 100, 3, None).unwrap()),
    ] {
        let (mut state, limits) = (TenantState::default(), TenantPlan::from(limits));
        assert!(state.check(&limits, at(NOON), 3).unwrap().allowed);
        let mut now = at(NOON - step);
        let wait = state.check(&limits, now, 1).unwrap().retry_after().expect("the usage is kept");
        now = now.saturating_add(wait);
        assert!(state.check(&limits, now, 1).unwrap().allowed, "{step} µs back");
    }
}

proptest! {
    /// Whatever the clock does, waiting for `retry_after` is sufficient.
    #[test]
    fn no_step_locks_a_tenant_out(
        times in prop::collection::vec((prop_oneof![0..MINUTE, 0..HOUR, 0..10 * DAY], 0_u64..4), 1..60),
    ) {
        let limits = TenantPlan::from(TierLimits::new(3, 5, 9, None)?);
        let mut state = TenantState::default();
        for (time, cost) in times {
            let now = at(time);
            if let Some(wait) = state.check(&limits, now, cost.min(3))?.retry_after() {
                prop_assert!(state.clone().check(&limits, now.saturating_add(wait), cost.min(3))?.allowed);
            }
        }
    }
}

/// One step of a random sequence.
#[derive(Clone, Copy, Debug)]
enum Step {
    Check(u64),
    Penalty(u64),
    Block(u64),
    SetPlan(usize),
    Advance(u64),
    SetBack(u64),
}

fn life() -> impl Strategy<Value = Vec<Step>> {
    let span = || prop_oneof![4 => 0..2_000_000_u64, 3 => 0..MINUTE, 1 => 0..HOUR, 1 => 0..DAY];
    let step = prop_oneof![
        12 => (0_u64..5).prop_map(Step::Check),
        1 => (0_u64..9).prop_map(Step::Penalty),
        1 => span().prop_map(Step::Block),
        1 => (0_usize..4).prop_map(Step::SetPlan),
        6 => span().prop_map(Step::Advance),
        1 => span().prop_map(Step::SetBack),
    ];
    prop::collection::vec(step, 1..90)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// With changes of plan, blocks, penalties, steps of the clock and checks that pass any of the
    /// plans: a refusal charges nothing and an admission all windows. While a plan applies, no
    /// minute, hour or day contains more than it allows. The usage is kept when the plan changes.
    #[test]
    fn a_thousand_lives_keep_every_promise(steps in life(), escalates in any::<bool>()) {
        let clock = ManualClock::at(at(NOON));
        let mut tenants = MemoryTenantLimiter::new(clock.clone(), 10);
        if escalates {
            let policy = BlockPolicy::fixed(Duration::from_secs(5)).escalate(Duration::from_mins(10), Duration::from_mins(5));
            tenants = tenants.with_block(policy);
        }
        let sizes = [(3, 5, 9), (10, 15, 20), (60, 1_000, 10_000), (7, 6, 5)];
        let of = |(minute, hour, day), epoch| {
            TierLimits::new(minute, hour, day, None).map(|limits| TenantPlan::from(limits).at_epoch(epoch))
        };
        let (mut plan, mut stale) = (of(sizes[0], 1)?, of(sizes[1], 0)?);
        now(tenants.set_plan("t", &plan))?;
        // Admissions with their times, since the current plan applies and the clock is monotonic.
        let mut admitted = Vec::<(u64, u64)>::new();
        for step in steps {
            let present = Timestamp::now(&clock).as_micros();
            let before = now(tenants.usage("t", &plan))?;
            match step {
                Step::Check(cost) => {
                    let decision = now(tenants.check("t", if cost % 2 == 0 { &plan } else { &stale }, cost));
                    let after = now(tenants.usage("t", &plan))?.windows.map(|window| window.used);
                    let used = before.windows.map(|window| window.used);
                    match decision {
                        Ok(decision) => {
                            prop_assert_eq!(decision.plan, plan);
                            prop_assert_eq!(after, used.map(|used| used + if decision.allowed { cost } else { 0 }));
                            prop_assert!(!(decision.allowed && before.blocked_for.is_some()));
                            if decision.allowed {
                                admitted.push((present, cost));
                            } else if decision.blocked_for.is_none() {
                                let fits = before.windows.iter().all(|window| cost <= window.remaining);
                                prop_assert!(!fits, "refused what fits: {before:?}");
                            }
                        }
                        Err(error) => {
                            prop_assert_eq!(after, used);
                            let is_too_much = matches!(error, CheckError::CostExceedsLimit { .. });
                            prop_assert!(is_too_much, "{error}");
                        }
                    }
                }
                Step::Penalty(cost) => {
                    let after = now(tenants.penalty("t", &stale, cost))?;
                    for (before, after) in before.windows.iter().zip(after.windows) {
                        prop_assert!(before.used <= after.used && after.used <= (2 * after.limit).max(before.used));
                    }
                }
                Step::Block(micros) => {
                    now(tenants.block("t", Duration::from_micros(micros)))?;
                    prop_assert_eq!(now(tenants.usage("t", &plan))?.windows, before.windows);
                }
                Step::SetPlan(size) => {
                    (stale, plan) = (plan, of(sizes[size], plan.epoch() + 1)?);
                    prop_assert!(now(tenants.set_plan("t", &plan))?);
                    let after = now(tenants.usage("t", &stale))?;
                    prop_assert_eq!(after.windows.map(|window| window.used), before.windows.map(|window| window.used));
                    admitted.clear();
                }
                Step::Advance(micros) => clock.advance(Duration::from_micros(micros)),
                Step::SetBack(micros) => {
                    clock.set(at(present - micros));
                    admitted.clear();
                }
            }
            let limits = plan.limits();
            let Some(&(last, _)) = admitted.last() else { continue };
            let sum = |within: &dyn Fn(u64) -> bool| -> u64 {
                admitted.iter().filter(|(at, _)| within(*at)).map(|(_, cost)| cost).sum()
            };
            prop_assert!(sum(&|at| last - at < MINUTE) <= limits.per_minute());
            prop_assert!(sum(&|at| at / HOUR == last / HOUR) <= limits.per_hour());
            prop_assert!(sum(&|at| at / DAY == last / DAY) <= limits.per_day());
        }
    }
}

#[test]
fn after_a_quiet_minute_all_sixty_are_back() {
    let limits = TenantPlan::from(Tier::FREE);
    let mut state = TenantState::default();
    for round in 0..5 {
        let now = at(NOON + round * MINUTE);
        for request in 1..=60 {
            assert!(state.check(&limits, now, 1).unwrap().allowed, "round {round}, request {request}");
        }
        let refused = state.check(&limits, now, 1).unwrap();
        assert_eq!((refused.allowed, refused.retry_after()), (false, Some(Duration::from_mins(1))));
    }
}

#[test]
fn the_hour_and_the_day_bind_in_their_turn() {
    let limits = TenantPlan::from(TierLimits::new(10, 15, 20, None).unwrap());
    let mut state = TenantState::default();
    let mut take = |now, cost| state.check(&limits, at(now), cost).unwrap();
    assert!(take(NOON, 10).allowed);
    assert_eq!(take(NOON, 1).binding().name, "minute");
    assert!(take(NOON + MINUTE, 5).allowed);
    let hour = take(NOON + MINUTE, 1);
    assert_eq!((hour.binding().name, hour.retry_after()), ("hour", Some(Duration::from_mins(52))));
    assert!(take(NOON + HOUR, 5).allowed);
    let day = take(NOON + HOUR, 1);
    let left = Duration::from_micros(11 * HOUR - 7 * MINUTE);
    assert_eq!((day.binding().name, day.retry_after()), ("day", Some(left)));
    assert!(take(20_001 * DAY, 10).allowed);
}

#[test]
fn a_change_of_tier_counts_at_once_and_keeps_the_usage() {
    let clock = ManualClock::at(at(NOON));
    let tenants = MemoryTenantLimiter::new(clock.clone(), 10);
    let [free, premium] = [Tier::FREE, Tier::PREMIUM].map(TenantPlan::from);
    for _ in 0..100 {
        assert!(now(tenants.check("t1", &premium, 1)).unwrap().allowed);
    }
    let refused = now(tenants.check("t1", &free, 1)).unwrap();
    assert!(!refused.allowed);
    assert_eq!(refused.binding().decision.remaining(), 0);
    let minute = now(tenants.usage("t1", &free)).unwrap().windows[0];
    assert_eq!((minute.limit, minute.used, minute.remaining), (60, 100, 0));
    assert_eq!(now(tenants.usage("t1", &premium)).unwrap().windows[0].remaining, 200);
    assert!(now(tenants.check("t1", &premium, 200)).unwrap().allowed);
    clock.advance(Duration::from_mins(1));
    assert!(now(tenants.check("t1", &free, 60)).unwrap().allowed);
}

#[test]
fn tenants_are_isolated_and_resettable_and_counted() {
    let tenants = MemoryTenantLimiter::new(ManualClock::at(at(NOON)), 10);
    let limits = TenantPlan::try_new(Tier::FREE, Overrides { per_minute: Some(2), ..Overrides::default() }).unwrap();
    for (tenant, allowed) in [("a", true), ("a", true), ("a", false), ("b", true), ("a", false)] {
        assert_eq!(now(tenants.check(tenant, &limits, 1)).unwrap().allowed, allowed);
    }
    assert_eq!(now(tenants.check("a", &limits, 3)), Err(CheckError::CostExceedsLimit { cost: 3, limit: 2 }));
    let stats = tenants.stats();
    assert_eq!((stats.allowed, stats.denied, stats.failed, stats.tracked_keys), (3, 2, 1, 2));
    assert_eq!(stats.top_denied, [("a".to_owned(), 2)]);
    assert!(now(tenants.reset("a")).unwrap());
    assert!(!now(tenants.reset("unknown")).unwrap());
    assert_eq!(now(tenants.usage("a", &limits)).unwrap().windows.map(|window| window.used), [0, 0, 0]);
    assert!(now(tenants.check("a", &limits, 1)).unwrap().allowed);
}

/// If a clock starts at zero, so do the windows.
#[test]
fn usage_is_shown_per_window() {
    let tenants = MemoryTenantLimiter::new(ManualClock::at(at(NOON)), 10);
    let limits = TenantPlan::from(Tier::FREE);
    assert!(now(tenants.check("t1", &limits, 7)).unwrap().allowed);
    let json = serde_json::to_value(now(tenants.usage("t1", &limits)).unwrap().windows).unwrap();
    let minute =
        serde_json::json!({"window": "minute", "limit": 60, "used": 7, "remaining": 53, "reset_after_ms": 60_000});
    assert_eq!(json[0], minute);
    assert_eq!(json[1]["reset_after_ms"], 53 * 60_000);
    assert_eq!((&json[2]["window"], &json[2]["remaining"]), (&"day".into(), &9_993.into()));
}
