//! The tenants' quota in Redis against the one in memory, through changes of tier and of the clock.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tidegate_ratelimit::{
    ManualClock, MemoryTenantLimiter, RedisTenantLimiter, TenantLimiter, Tier, TierLimits, Timestamp,
};

use crate::support::{World, for_all, keyspace, runtime, tenants, test_clock};

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(usize, u64),
    Usage(usize),
    Reset,
    Advance(u64),
    SetBack(u64),
}

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn plans() -> [TierLimits; 4] {
    [
        TierLimits::new(3, 5, 9, None).unwrap(),
        TierLimits::new(10, 15, 20, None).unwrap(),
        Tier::Free.limits(),
        TierLimits::new(7, 6, 5, None).unwrap(),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let span = || prop_oneof![4 => 0..2_000_000_u64, 3 => 0..MINUTE, 2 => 0..HOUR, 1 => 0..2 * DAY];
    let step = prop_oneof![
        12 => (0..4_usize, 0..6_u64).prop_map(|(plan, cost)| Step::Check(plan, cost)),
        3 => (0..4_usize).prop_map(Step::Usage),
        1 => Just(Step::Reset),
        6 => span().prop_map(Step::Advance),
        2 => span().prop_map(Step::SetBack),
    ];
    prop::collection::vec((0..2_u8, step), 1..120)
}

async fn agree(world: &World, start: u64, steps: &[(u8, Step)]) -> Result<(), TestCaseError> {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let name = format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed));
    let ours = RedisTenantLimiter::builder(name, world.client.clone(), keyspace()).test_clock(test_clock()).build();
    let clock = ManualClock::new(Timestamp::from_micros(start));
    let theirs = MemoryTenantLimiter::new(clock.clone(), 10);
    let (plans, mut now) = (plans(), start);
    world.set_clock(now).await;
    for (index, (tenant, step)) in steps.iter().enumerate() {
        let tenant = format!("t{tenant}");
        match *step {
            Step::Check(plan, cost) => {
                let (ours, theirs) =
                    (ours.check(&tenant, &plans[plan], cost).await, theirs.check(&tenant, &plans[plan], cost).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Usage(plan) => {
                let (ours, theirs) =
                    (ours.usage(&tenant, &plans[plan]).await, theirs.usage(&tenant, &plans[plan]).await);
                prop_assert_eq!(ours, theirs, "step {} at {}", index, now);
            }
            Step::Reset => prop_assert_eq!(ours.reset(&tenant).await, theirs.reset(&tenant).await),
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
    for_all(150, (20_000 * DAY..30_000 * DAY, steps()), |(start, steps)| {
        runtime.block_on(agree(&world, start, &steps))
    });
}

#[tokio::test]
async fn are_one_string_that_expires_with_the_day() {
    let world = World::start().await;
    let tenants = tenants(&world.client);
    for _ in 0..5 {
        let _ = tenants.check("a}:{b", &plans()[0], 1).await.unwrap();
    }
    let refused = tenants.check("a}:{b", &plans()[0], 1).await.unwrap();
    assert_eq!((refused.allowed, refused.binding().name), (false, "minute"));
    assert_eq!(world.keys().await, ["test:{rt:tenant:a%7D%3A%7Bb}"]);
    let ttl = world.ttl("test:{rt:tenant:a%7D%3A%7Bb}").await;
    assert!(0 < ttl && ttl <= 86_400_000, "{ttl}");
    assert_eq!(tenants.stats().top_denied, [("a}:{b".to_owned(), 3)]);
}
