//! Tenant quotas in Redis compared with those in memory: changes of plan and clock, blocks, seats
//! and others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, ManualClock, MemoryTenantLimiter, Overrides, Quota, RedisTenantLimiter, TenantLimiter, TenantPlan,
    Tier, Tiers, Timestamp,
};
use tidegate_redis::Command;

use crate::support::{World, for_all, keyspace, runtime, tenants, test_clock};

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(TenantPlan, u64),
    Peek(TenantPlan, u64),
    Usage(TenantPlan),
    Penalty(TenantPlan, u64),
    Reward(TenantPlan, u64),
    Block(u64),
    Unblock,
    Reset,
    SetPlan(TenantPlan),
    Plan,
    TakeSeat(TenantPlan, u32),
    GiveSeat,
    SetSeats(u32),
    Advance(u64),
    SetBack(u64),
}

#[derive(Clone, Debug)]
struct Trace {
    start: u64,
    block: Option<BlockPolicy>,
    steps: Vec<(u8, Step)>,
}

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Every tier, with and without own limits, mostly small ones. Few epochs, so that older plans
/// follow newer ones.
fn plans() -> impl Strategy<Value = TenantPlan> {
    let own = |greatest: u64| prop_oneof![6 => (1..=greatest).prop_map(Some), 1 => Just(None), 1 => Just(Some(Quota::MAX_LIMIT))];
    let users = prop_oneof![4 => (1..4_u32).prop_map(Some), 1 => Just(None), 1 => Just(Some(u32::MAX))];
    let epochs = prop_oneof![2 => Just(0), 6 => 1..5_u64, 1 => Just(TenantPlan::MAX_EPOCH)];
    (0..4_usize, own(10), own(15), own(20), users, epochs).prop_map(|(tier, minute, hour, day, users, epoch)| {
        let own = Overrides { per_minute: minute, per_hour: hour, per_day: day, max_users: users };
        TenantPlan::try_new(*Tiers::default().iter().nth(tier).unwrap(), own).unwrap().at_epoch(epoch)
    })
}

fn traces() -> impl Strategy<Value = Trace> {
    let span = || prop_oneof![4 => 0..2_000_000_u64, 3 => 0..MINUTE, 2 => 0..HOUR, 1 => 0..2 * DAY];
    let cost = || prop_oneof![8 => 0..6_u64, 1 => Just(u64::MAX), 1 => Just(Quota::MAX_LIMIT)];
    // With few plans, the same plan is likely to appear again.
    prop::collection::vec(plans(), 4).prop_flat_map(move |few| {
        let plan = || prop::sample::select(few.clone());
        let step = prop_oneof![
            12 => (plan(), cost()).prop_map(|(plan, cost)| Step::Check(plan, cost)),
            2 => (plan(), cost()).prop_map(|(plan, cost)| Step::Peek(plan, cost)),
            3 => plan().prop_map(Step::Usage),
            1 => (plan(), cost()).prop_map(|(plan, cost)| Step::Penalty(plan, cost)),
            2 => (plan(), cost()).prop_map(|(plan, amount)| Step::Reward(plan, amount)),
            1 => span().prop_map(Step::Block),
            1 => Just(Step::Unblock),
            1 => Just(Step::Reset),
            2 => plan().prop_map(Step::SetPlan),
            1 => Just(Step::Plan),
            3 => (plan(), 0..4_u32).prop_map(|(plan, in_use)| Step::TakeSeat(plan, in_use)),
            2 => Just(Step::GiveSeat),
            1 => prop_oneof![3 => 0..6_u32, 1 => Just(u32::MAX)].prop_map(Step::SetSeats),
            7 => span().prop_map(Step::Advance),
            2 => span().prop_map(Step::SetBack),
        ];
        let escalation = prop::option::of((1_000..10 * MINUTE, 1_000..HOUR));
        let block = prop::option::of((1_000..2 * MINUTE, escalation, 0..50_u8).prop_map(policy));
        let steps = prop::collection::vec((0..2_u8, step), 1..120);
        (20_000 * DAY..30_000 * DAY, block, steps).prop_map(|(start, block, steps)| Trace { start, block, steps })
    })
}

fn policy((base, escalation, jitter): (u64, Option<(u64, u64)>, u8)) -> BlockPolicy {
    let micros = Duration::from_micros;
    let fixed = BlockPolicy::fixed(micros(base)).jitter(jitter);
    escalation.map_or(fixed, |(cap, decay)| fixed.escalate(micros(cap), micros(decay)))
}

/// Both limiters perform the same steps with the same results.
async fn agree(world: &World, trace: &Trace) -> Result<(), TestCaseError> {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let name = format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed));
    let clock = ManualClock::at(Timestamp::from_micros(trace.start));
    let mut ours = RedisTenantLimiter::builder(name, world.client.clone(), keyspace()).test_clock(test_clock());
    let mut theirs = MemoryTenantLimiter::new(clock.clone(), 10);
    if let Some(policy) = trace.block {
        (ours, theirs) = (ours.block(policy), theirs.with_block(policy));
    }
    let ours = ours.build();
    let mut now = trace.start;
    world.set_clock(now).await;
    for (index, (tenant, step)) in trace.steps.iter().enumerate() {
        let tenant = format!("t{tenant}");
        macro_rules! same {
            ($verb:ident($($argument:expr),*)) => {
                prop_assert_eq!(
                    ours.$verb(&tenant $(, $argument)*).await,
                    theirs.$verb(&tenant $(, $argument)*).await,
                    "step {} at {}", index, now
                )
            };
        }
        match *step {
            Step::Check(plan, cost) => same!(check(&plan, cost)),
            Step::Peek(plan, cost) => same!(peek(&plan, cost)),
            Step::Usage(plan) => same!(usage(&plan)),
            Step::Penalty(plan, cost) => same!(penalty(&plan, cost)),
            Step::Reward(plan, amount) => same!(reward(&plan, amount)),
            Step::Block(micros) => same!(block(Duration::from_micros(micros))),
            Step::Unblock => same!(unblock()),
            Step::Reset => same!(reset()),
            Step::SetPlan(plan) => same!(set_plan(&plan)),
            Step::Plan => same!(plan()),
            Step::TakeSeat(plan, in_use) => same!(take_seat(&plan, in_use)),
            Step::GiveSeat => same!(give_seat()),
            Step::SetSeats(used) => same!(set_seats(used)),
            Step::Advance(micros) => now += micros,
            Step::SetBack(micros) => now -= micros,
        }
        if matches!(step, Step::Advance(_) | Step::SetBack(_)) {
            clock.set(Timestamp::from_micros(now));
            world.set_clock(now).await;
        }
    }
    let (ours, theirs) = (ours.stats(), theirs.stats());
    prop_assert_eq!((ours.allowed, ours.denied, ours.failed), (theirs.allowed, theirs.denied, theirs.failed));
    Ok(())
}

#[test]
fn decide_as_in_memory() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    for_all(100, traces(), |trace| runtime.block_on(agree(&world, &trace)));
}

fn small(epoch: u64) -> TenantPlan {
    let own = Overrides { per_minute: Some(3), per_hour: Some(5), per_day: Some(9), max_users: Some(2) };
    TenantPlan::try_new(Tier::FREE, own).unwrap().at_epoch(epoch)
}

#[tokio::test]
async fn are_one_string_that_expires_with_the_day() {
    let world = World::start().await;
    let (tenants, plan) = (tenants(&world.client), small(0));
    for _ in 0..5 {
        let _ = tenants.check("a}:{b", &plan, 1).await.unwrap();
    }
    let refused = tenants.check("a}:{b", &plan, 1).await.unwrap();
    assert_eq!((refused.allowed, refused.binding().name), (false, "minute"));
    assert_eq!(world.keys().await, ["test:{rt:tenant:a%7D%3A%7Bb}"]);
    let ttl = world.ttl("test:{rt:tenant:a%7D%3A%7Bb}").await;
    assert!(0 < ttl && ttl <= 86_400_000, "{ttl}");
    assert_eq!(tenants.stats().top_denied, [("a}:{b".to_owned(), 3)]);
    // A plan or a seat is kept for a day, at any hour. Without them nothing is left after a reset.
    assert!(tenants.set_plan("planned", &small(1)).await.unwrap());
    let ttl = world.ttl("test:{rt:tenant:planned}").await;
    assert!(86_000_000 < ttl && ttl <= 86_400_001, "{ttl}");
    assert!(tenants.reset("a}:{b").await.unwrap() && !tenants.reset("planned").await.unwrap());
    assert_eq!(world.keys().await, ["test:{rt:tenant:planned}"]);
    assert_eq!(tenants.plan("planned").await.unwrap(), Some(small(1)));
}

/// Two nodes, one of which still has an old plan in its cache.
#[tokio::test]
async fn the_newest_plan_holds_on_every_node() {
    let world = World::start().await;
    let [fresh, stale] = [(); 2].map(|()| tenants(&world.client));
    let (free, premium) = (TenantPlan::from(Tier::FREE).at_epoch(1), TenantPlan::from(Tier::PREMIUM).at_epoch(2));
    for _ in 0..60 {
        assert!(stale.check("t1", &free, 1).await.unwrap().allowed);
    }
    assert!(!stale.check("t1", &free, 1).await.unwrap().allowed);
    assert!(fresh.set_plan("t1", &premium).await.unwrap());
    // Immediately, with the usage carried over, even on the node that does not know it.
    let decision = stale.check("t1", &free, 1).await.unwrap();
    assert!(decision.allowed);
    assert_eq!((decision.plan, decision.windows[0].decision.remaining()), (premium, 300 - 61));
    assert!(stale.check("t1", &free, 239).await.unwrap().allowed, "a cost that is above the older plan's limit");
    assert!(!stale.set_plan("t1", &free).await.unwrap(), "an older plan can't be put in force");
    assert_eq!(stale.plan("t1").await.unwrap(), Some(premium));
    // Back to a smaller plan: the usage is kept.
    let back = TenantPlan::from(Tier::FREE).at_epoch(3);
    assert!(fresh.set_plan("t1", &back).await.unwrap());
    let usage = stale.usage("t1", &premium).await.unwrap();
    assert_eq!((usage.plan, usage.windows[0].used, usage.windows[0].remaining), (back, 300, 0));
    assert!(!stale.check("t1", &premium, 1).await.unwrap().allowed);
    // A check also distributes a plan. If Redis has lost it, the plan of the check applies.
    assert_eq!(fresh.check("t2", &premium, 1).await.unwrap().plan, premium);
    assert_eq!(stale.check("t2", &free, 1).await.unwrap().plan, premium);
    world.client.execute(Command::new("FLUSHALL")).await.unwrap();
    assert_eq!(stale.check("t2", &free, 1).await.unwrap().plan, free);
}

/// A value in the first layout, which contained only the windows, keeps its usage and is rewritten.
#[tokio::test]
async fn the_first_layout_is_read() {
    let world = World::start().await;
    let ours = RedisTenantLimiter::builder("tenant", world.client.clone(), keyspace()).test_clock(test_clock()).build();
    let now = 25_000 * DAY + 5 * HOUR + MINUTE;
    world.set_clock(now).await;
    let seven = |number: u64| number.to_le_bytes()[..7].to_vec();
    let mut bytes = vec![1];
    for number in [25_000 * DAY + 5 * HOUR, 4, 25_000 * DAY, 7, now - 1, 2, now - 1, 2] {
        bytes.extend(seven(number));
    }
    world.client.execute(Command::new("SET").key("test:{rt:tenant:t1}").arg(bytes)).await.unwrap();
    let used = ours.usage("t1", &small(0)).await.unwrap().windows.map(|window| window.used);
    assert_eq!(used, [2, 4, 7]);
    assert!(ours.check("t1", &small(1), 1).await.unwrap().allowed);
    let refused = ours.check("t1", &small(0), 1).await.unwrap();
    assert_eq!(refused.windows.map(|window| window.decision.remaining()), [0, 0, 1]);
    assert_eq!(refused.plan, small(1));
}
