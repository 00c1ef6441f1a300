//! Three processes while Redis is available, but slow for a moment.

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, FallbackLimiter, FallbackTenantLimiter, FixedWindow, Limiter, LiveProcesses, ManualClock, Quota,
    RedisLimiter, SharedQuotas, SlidingWindow, TenantLimiter, TenantPlan, Tier,
};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};

use crate::outage::begin_outage;
use crate::support::{LONG, World, connect, keyspace, tenants, yearly};

const LIMIT: u64 = 90;
/// Sufficient for a reply on a busy machine.
const PATIENCE: Duration = Duration::from_millis(400);

/// A process with its own client, which counts the others.
struct Process {
    limiter: FallbackLimiter<FixedWindow>,
    tenants: FallbackTenantLimiter,
    quotas: SharedQuotas,
}

async fn process(url: &str) -> Process {
    let client = connect(url).await;
    let quotas = SharedQuotas::start(client.clone(), &keyspace()).await;
    let quota = yearly(LIMIT);
    let shared = RedisLimiter::builder("api", FixedWindow::new(quota), client.clone(), keyspace());
    let shared = shared.block(BlockPolicy::fixed(Duration::from_mins(10))).build().unwrap();
    let limiter = FallbackLimiter::builder(shared).live_processes(quotas.live_processes()).patience(PATIENCE).build();
    let tenants = FallbackTenantLimiter::builder(tenants(&client)).live_processes(quotas.live_processes());
    Process { limiter, tenants: tenants.patience(PATIENCE).build(), quotas }
}

async fn three(urls: [String; 3]) -> [Process; 3] {
    let [one, two, three] = urls;
    let all = [process(&one).await, process(&two).await, process(&three).await];
    for process in &all {
        let live = process.quotas.live_processes();
        poll_until(LONG, async || (live.count().get() == 3).then_some(())).await.unwrap();
    }
    all
}

async fn admitted(process: &Process, key: &str, times: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u64::from(process.limiter.check(key, 1).await.unwrap().is_allowed());
    }
    admitted
}

async fn admitted_of_tenant(process: &Process, plan: &TenantPlan, times: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u64::from(process.tenants.check("acme", plan, 1).await.unwrap().allowed);
    }
    admitted
}

#[tokio::test]
async fn a_redis_that_stops_for_a_moment_opens_no_limit() {
    let mut server = RedisServer::start().await;
    let processes = three([server.url(), server.url(), server.url()]).await;
    let plan = TenantPlan::from(Tier::FREE);
    let (mut known, mut unknown, mut of_tenant) = (0, 0, 0);
    for _ in 0..10 {
        for process in &processes {
            known += admitted(process, "known", 1).await;
            of_tenant += admitted_of_tenant(process, &plan, 1).await;
        }
    }
    server.hang().await;
    for process in &processes {
        known += admitted(process, "known", LIMIT).await;
        unknown += admitted(process, "unknown", LIMIT).await;
        of_tenant += admitted_of_tenant(process, &plan, 100).await;
    }
    server.resume();
    assert!(processes.iter().all(|process| process.limiter.stats().alone > 0), "nothing was decided without Redis");
    // Each last reply is at most two checks of the others behind, so the sum of the parts exceeds
    // the limit by at most two.
    assert!((45..=LIMIT + 2).contains(&known), "{known} of {LIMIT}");
    assert!((1..=LIMIT).contains(&unknown), "{unknown} of {LIMIT}");
    assert!((45..=102).contains(&of_tenant), "{of_tenant} of 100");
    // Exceeding a part of the limit causes no block, neither here nor later in Redis.
    let check = async || {
        let decision = processes[0].limiter.check("unknown", 0).await.unwrap();
        decision.is_allowed().then_some(())
    };
    poll_until(LONG, check).await.unwrap();
    assert_eq!(processes.iter().map(|process| process.limiter.stats().blocked_keys).sum::<u64>(), 0);
}

#[tokio::test]
async fn a_process_that_gets_no_answer_adds_at_most_its_part() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let processes = three([server.url(), server.url(), proxy.url()]).await;
    let slow = &processes[2];
    let mut all = 0;
    // It receives that all but one remain. Then the others use most of them.
    all += admitted(slow, "key", 1).await;
    all += admitted(&processes[0], "key", 40).await + admitted(&processes[1], "key", 40).await;
    proxy.hang();
    all += admitted(slow, "key", LIMIT).await;
    all += admitted(&processes[0], "key", LIMIT).await;
    assert!((LIMIT..=LIMIT + LIMIT / 3).contains(&all), "{all} of {LIMIT}");
}

#[tokio::test]
async fn after_its_first_window_an_outage_has_the_share_of_its_policy() {
    let mut world = World::start().await;
    let (clock, live) = (ManualClock::default(), LiveProcesses::default());
    live.set(NonZeroU32::new(3).unwrap());
    let window = Duration::from_mins(10);
    let shared = RedisLimiter::builder(
        "api",
        SlidingWindow::new(Quota::new(LIMIT, window).unwrap()),
        world.client.clone(),
        keyspace(),
    );
    let shared = shared.block(BlockPolicy::fixed(window)).build().unwrap();
    let limiter = FallbackLimiter::builder(shared).live_processes(live).clock(clock.clone()).build();
    assert!(limiter.check("stale", 1).await.unwrap().is_allowed());
    clock.advance(window * 7 / 10);
    begin_outage(&mut world).await;
    let admitted = async |key: &str| {
        let mut admitted = 0;
        while limiter.check(key, 1).await.unwrap().is_allowed() {
            admitted += 1;
        }
        (admitted, limiter.check(key, 1).await.unwrap().blocked_for().is_some())
    };
    assert_eq!(limiter.peek("key", 0).await.unwrap().remaining(), 30);
    assert_eq!(admitted("key").await, (30, false));
    assert_eq!(limiter.peek("other", 0).await.unwrap().remaining(), 30);
    assert_eq!(admitted("stale").await, (29, false));
    // The value that Redis reported for that key has expired, the first window of the outage has
    // not.
    clock.advance(window * 4 / 10);
    assert_eq!(admitted("stale").await, (0, false));
    clock.advance(2 * window);
    assert_eq!(admitted("key").await, (90, true));
    assert_eq!(admitted("new").await, (90, true));
}

#[tokio::test]
async fn a_process_that_is_gone_is_no_longer_counted() {
    const ROLL: &str = "test:{rl:quotas}:processes";
    let server = RedisServer::start().await;
    let one = process(&server.url()).await;
    let counts = async |count: u32| {
        let live = one.quotas.live_processes();
        poll_until(LONG, async || (live.count().get() == count).then_some(())).await.unwrap();
    };
    // Seen in the distant future, and then long ago.
    server.cli(&["ZADD", ROLL, "9999999999999", "other"]).await;
    counts(2).await;
    server.cli(&["ZADD", ROLL, "1", "other"]).await;
    counts(1).await;
    assert_eq!(server.cli(&["ZCARD", ROLL]).await.trim(), "1");
}
