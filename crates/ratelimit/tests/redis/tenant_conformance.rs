//! The guarantees of every tenant limiter: in memory, in Redis, and in Redis with a fallback.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, CheckError, Clock, FallbackTenantLimiter, MAX_KEY_BYTES, MemoryTenantLimiter, Overrides,
    RedisTenantLimiter, RedisTenantLimiterBuilder, TenantLimiter, TenantPlan, Tier,
};
use tokio::task::JoinSet;

use crate::support::{World, keyspace};

const POLICY: Duration = Duration::from_secs(1_000);
const LONG: Duration = Duration::from_hours(100);

/// One of each kind, with a block policy or none.
fn each(world: &World, name: &str, policy: Option<BlockPolicy>) -> Vec<(&'static str, Box<dyn TenantLimiter>)> {
    let redis = |kind: &str| {
        let builder = RedisTenantLimiter::builder(format!("{name}-{kind}"), world.client.clone(), keyspace());
        policy.into_iter().fold(builder, RedisTenantLimiterBuilder::block).build()
    };
    let memory = MemoryTenantLimiter::new(Clock::system(), 1_000);
    let memory = policy.into_iter().fold(memory, MemoryTenantLimiter::with_block);
    vec![
        ("memory", Box::new(memory)),
        ("redis", Box::new(redis("redis"))),
        ("fallback", Box::new(FallbackTenantLimiter::builder(redis("fallback")).build())),
    ]
}

/// Hours and days may end during a test, so the assertions use the minute.
fn plan(per_minute: u64, max_users: Option<u32>, epoch: u64) -> TenantPlan {
    let own = Overrides { per_minute: Some(per_minute), max_users, ..Overrides::default() };
    TenantPlan::try_new(Tier::ENTERPRISE, own).unwrap().at_epoch(epoch)
}

#[tokio::test]
async fn all_windows_are_charged_or_none() {
    let world = World::start().await;
    for (kind, tenants) in each(&world, "charge", None) {
        let plan = plan(5, None, 1);
        assert_eq!(tenants.usage("t", &plan).await.unwrap().windows.map(|window| window.used), [0; 3], "{kind}");
        assert!(tenants.peek("t", &plan, 5).await.unwrap().allowed, "{kind}");
        assert!(tenants.check("t", &plan, 3).await.unwrap().allowed, "{kind}");
        let refused = tenants.check("t", &plan, 3).await.unwrap();
        assert_eq!((refused.allowed, refused.binding().name), (false, "minute"), "{kind}");
        assert!(!tenants.peek("t", &plan, 3).await.unwrap().allowed, "{kind}");
        let never = Err(CheckError::CostExceedsLimit { cost: 6, limit: 5 });
        assert_eq!(
            (&tenants.check("t", &plan, 6).await, &tenants.peek("t", &plan, 6).await),
            (&never, &never),
            "{kind}"
        );
        assert_eq!(tenants.usage("t", &plan).await.unwrap().windows[0].used, 3, "{kind}");
        assert_eq!(tenants.penalty("t", &plan, 4).await.unwrap().windows[0].used, 7, "{kind}");
        assert_eq!(tenants.penalty("t", &plan, 100).await.unwrap().windows[0].used, 10, "{kind}");
        assert_eq!(tenants.reward("t", &plan, 8).await.unwrap().windows[0].used, 2, "{kind}");
        assert!(tenants.check("t", &plan, 3).await.unwrap().allowed, "{kind}");
        assert!(tenants.reset("t").await.unwrap(), "{kind}");
        assert!(!tenants.reset("t").await.unwrap(), "{kind}");
        assert_eq!(tenants.usage("t", &plan).await.unwrap().windows[0].used, 0, "{kind}");
        assert_eq!(tenants.plan("t").await.unwrap(), Some(plan), "{kind}: a reset keeps the plan");
        let stats = tenants.stats();
        assert_eq!((stats.allowed, stats.denied, stats.failed), (2, 1, 1), "{kind}");
    }
}

#[tokio::test]
async fn the_newest_plan_is_in_force() {
    let world = World::start().await;
    for (kind, tenants) in each(&world, "plan", None) {
        let (old, new, newest) = (plan(2, None, 1), plan(10, None, 2), plan(3, None, 3));
        assert_eq!(tenants.plan("t").await.unwrap(), None, "{kind}");
        assert!(tenants.check("t", &old, 2).await.unwrap().allowed, "{kind}");
        assert!(!tenants.check("t", &old, 1).await.unwrap().allowed, "{kind}");
        assert!(tenants.set_plan("t", &new).await.unwrap(), "{kind}");
        assert!(!tenants.set_plan("t", &old).await.unwrap(), "{kind}");
        let decision = tenants.check("t", &old, 5).await.unwrap();
        assert_eq!((decision.allowed, decision.plan), (true, new), "{kind}: a stale check is held to the newer plan");
        // Passed only by a check, and below the usage.
        assert!(!tenants.check("t", &newest, 1).await.unwrap().allowed, "{kind}");
        let usage = tenants.usage("t", &new).await.unwrap();
        assert_eq!((usage.plan, usage.windows[0].used, usage.windows[0].remaining), (newest, 7, 0), "{kind}");
        assert_eq!(tenants.plan("t").await.unwrap(), Some(newest), "{kind}");
        // If plans have no epochs, each check's own plan applies.
        assert!(tenants.check("free", &plan(2, None, 0), 2).await.unwrap().allowed, "{kind}");
        assert!(tenants.check("free", &plan(9, None, 0), 5).await.unwrap().allowed, "{kind}");
        assert!(!tenants.check("free", &plan(2, None, 0), 1).await.unwrap().allowed, "{kind}");
        assert_eq!(tenants.plan("free").await.unwrap(), None, "{kind}");
    }
}

#[tokio::test]
async fn who_goes_over_again_and_again_is_blocked_for_longer() {
    let world = World::start().await;
    let policy = BlockPolicy::fixed(POLICY).escalate(BlockPolicy::MAX, LONG);
    for (kind, tenants) in each(&world, "block", Some(policy)) {
        let plan = plan(2, None, 1);
        assert!(tenants.check("t", &plan, 2).await.unwrap().allowed, "{kind}");
        let first = tenants.check("t", &plan, 1).await.unwrap();
        assert_eq!(
            (first.allowed, first.blocked_for, first.retry_after()),
            (false, Some(POLICY), Some(POLICY)),
            "{kind}"
        );
        // A refusal during a block is not a strike, and a cost that fits is refused too.
        let again = tenants.check("t", &plan, 0).await.unwrap();
        assert!(!again.allowed && again.blocked_for.unwrap() <= POLICY, "{kind}");
        assert_eq!(tenants.usage("t", &plan).await.unwrap().strikes, 1, "{kind}");
        // The block is ended manually and the strike is kept: the next one is twice as long.
        tenants.block("t", Duration::ZERO).await.unwrap();
        assert!(tenants.peek("t", &plan, 0).await.unwrap().allowed, "{kind}");
        assert_eq!(tenants.check("t", &plan, 1).await.unwrap().blocked_for, Some(2 * POLICY), "{kind}");
        assert!(tenants.unblock("t").await.unwrap() && !tenants.unblock("t").await.unwrap(), "{kind}");
        assert_eq!(
            tenants.check("t", &plan, 1).await.unwrap().blocked_for,
            Some(POLICY),
            "{kind}: strikes were forgotten"
        );
        // Blocked manually, and only this one.
        tenants.block("u", LONG).await.unwrap();
        let left = tenants.check("u", &plan, 1).await.unwrap().blocked_for.unwrap();
        assert!(LONG / 2 < left && left <= LONG, "{kind}: {left:?}");
        assert!(tenants.reset("u").await.unwrap(), "{kind}");
        assert!(tenants.check("u", &plan, 1).await.unwrap().allowed, "{kind}");
        assert_eq!(tenants.usage("u", &plan).await.unwrap().windows[0].used, 1, "{kind}");
    }
}

#[tokio::test]
async fn no_more_seats_than_the_plan_has() {
    let world = World::start().await;
    for (kind, tenants) in each(&world, "seats", None) {
        for (tier, seats) in [(Tier::FREE, 10), (Tier::BASIC, 50), (Tier::PREMIUM, 200)] {
            let (name, plan) = (tier.name(), TenantPlan::from(tier).at_epoch(1));
            // The records contain all but two.
            for used in seats - 1..=seats {
                let seat = tenants.take_seat(name, &plan, seats - 2).await.unwrap();
                assert_eq!((seat.taken, seat.used, seat.allowed), (true, used, Some(seats)), "{kind}, {tier}");
            }
            assert!(!tenants.take_seat(name, &plan, 0).await.unwrap().taken, "{kind}, {tier}");
            assert_eq!(tenants.give_seat(name).await.unwrap(), Some(seats - 1), "{kind}, {tier}");
            assert!(tenants.take_seat(name, &plan, 0).await.unwrap().taken, "{kind}, {tier}");
        }
        // A smaller plan removes no user but accepts no new one. A larger one accepts again
        // immediately.
        assert!(tenants.set_plan("basic", &TenantPlan::from(Tier::FREE).at_epoch(2)).await.unwrap());
        let stale = TenantPlan::from(Tier::BASIC).at_epoch(1);
        let refused = tenants.take_seat("basic", &stale, 0).await.unwrap();
        assert_eq!((refused.taken, refused.used, refused.allowed), (false, 50, Some(10)), "{kind}");
        let enterprise = TenantPlan::from(Tier::ENTERPRISE).at_epoch(3);
        assert!(tenants.take_seat("basic", &enterprise, 0).await.unwrap().taken, "{kind}");
        // The final number in the records.
        tenants.set_seats("basic", 7).await.unwrap();
        let seats = tenants.usage("basic", &stale).await.unwrap().seats;
        assert_eq!((seats.used, seats.allowed), (Some(7), None), "{kind}");
        assert_eq!(tenants.give_seat("nobody").await.unwrap(), None, "{kind}");
        tenants.set_seats("none", 0).await.unwrap();
        assert_eq!(tenants.give_seat("none").await.unwrap(), Some(0), "{kind}");
        assert_eq!(tenants.stats().allowed, 0, "{kind}: a seat is no check");
    }
}

#[tokio::test]
async fn simultaneous_takers_get_exactly_the_seats_there_are() {
    let world = World::start().await;
    for (kind, tenants) in each(&world, "race", None) {
        let plan = TenantPlan::from(Tier::FREE).at_epoch(1);
        let tenants: Arc<dyn TenantLimiter> = tenants.into();
        let mut takers = JoinSet::new();
        for _ in 0..40 {
            let tenants = Arc::clone(&tenants);
            takers.spawn(async move { tenants.take_seat("t", &plan, 0).await.unwrap().taken });
        }
        let taken = takers.join_all().await;
        assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 10, "{kind}");
    }
}

/// Names that could be confused, or be read as the end of a key: each is a separate tenant.
#[tokio::test]
async fn no_tenant_reads_drains_or_resets_another() {
    let world = World::start().await;
    let long = |last: char| format!("{}{last}", "x".repeat(MAX_KEY_BYTES - 1));
    let names: Vec<String> = [
        "",
        "a",
        "A",
        "a:b",
        "a%3Ab",
        "a%3ab",
        "a%253Ab",
        "a}b",
        "a{b",
        "{a}",
        "}:{rt:tenant:a",
        "a\0",
        "a\0b",
        "a\n",
        "a\r\nb",
        "a ",
        "*",
        "a*",
        "..",
        "á",
        "a\u{301}",
        "\u{7f}",
        "\u{85}",
        "🦀",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([long('y'), long('z')])
    .collect();
    for (kind, tenants) in each(&world, "isolation", Some(BlockPolicy::fixed(LONG))) {
        for (index, name) in (0_u32..).zip(&names) {
            let own = plan(10 + u64::from(index), Some(1 + index), 1 + u64::from(index));
            assert_eq!(tenants.plan(name).await.unwrap(), None, "{kind}: {name:?} reads another's plan");
            assert_eq!(tenants.usage(name, &own).await.unwrap().windows[0].used, 0, "{kind}: {name:?}");
            assert!(tenants.check(name, &own, 1 + u64::from(index) % 3).await.unwrap().allowed, "{kind}: {name:?}");
            assert!(tenants.take_seat(name, &own, 0).await.unwrap().taken, "{kind}: {name:?}");
        }
        // Whatever is done to one tenant, the figures of the others do not change.
        for (index, name) in (0_u32..).zip(&names) {
            match index % 4 {
                0 => assert!(tenants.reset(name).await.unwrap(), "{kind}: {name:?}"),
                1 => tenants.block(name, LONG).await.unwrap(),
                2 => drop(tenants.penalty(name, &plan(1, None, 0), u64::MAX).await.unwrap()),
                _ => assert!(tenants.set_plan(name, &plan(5, Some(2), 1_000)).await.unwrap(), "{kind}: {name:?}"),
            }
        }
        for (index, name) in (0_u32..).zip(&names) {
            let own = plan(10 + u64::from(index), Some(1 + index), 1 + u64::from(index));
            let (kept, used) = (tenants.plan(name).await.unwrap().unwrap(), 1 + u64::from(index) % 3);
            let usage = tenants.usage(name, &own).await.unwrap();
            let expected = match index % 4 {
                0 => (own, 0, false),
                1 => (own, used, true),
                2 => (own, 2 * (10 + u64::from(index)), false),
                _ => (plan(5, Some(2), 1_000), used, false),
            };
            assert_eq!((kept, usage.windows[0].used, usage.blocked_for.is_some()), expected, "{kind}: {name:?}");
            assert_eq!(usage.seats.used, Some(1), "{kind}: {name:?}");
        }
        let too_long = "x".repeat(MAX_KEY_BYTES + 1);
        let error = Err(CheckError::KeyTooLong { length: MAX_KEY_BYTES + 1, max: MAX_KEY_BYTES });
        assert_eq!(tenants.check(&too_long, &plan(1, None, 0), 1).await.map(|_| ()), error, "{kind}");
        assert_eq!(tenants.block(&too_long, LONG).await, error, "{kind}");
        assert_eq!(tenants.reset(&too_long).await.map(|_| ()), error, "{kind}");
    }
    let keys = world.keys().await;
    assert_eq!(keys.len(), 2 * names.len(), "each name has a key of its own on each limiter: {keys:?}");
}
