//! The joint guarantee of three instances during an outage, and the time that a decision takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_ratelimit::{FallbackLimiter, FixedWindow, Limiter, Quota, SlidingWindow};
use tidegate_redis::Client;
use tidegate_testkit::redis::Proxy;
use tidegate_testkit::{poll_until, scale};
use tokio::time::Instant;

use crate::outage::{INSTANCES, fallback};
use crate::support::{LONG, World, admit, connect, yearly};

const TASKS: u64 = 4;
const LIMIT: u64 = 30_000;
const PER_SECOND: u64 = 300;

/// In a full run, the documented values. Otherwise the build is slow and the machine is busy.
fn slower(promised: Duration) -> Duration {
    if scale(0, 1) == 1 { promised } else { 20 * promised }
}

/// The time of an admission: not before the first and not after the second.
type Admission = (Instant, Instant);

/// One of the processes.
struct Instance {
    client: Client,
    /// A window that does not end.
    frozen: FallbackLimiter<FixedWindow>,
    /// A window of one second.
    short: FallbackLimiter<SlidingWindow>,
}

/// The observations of the tasks of all instances.
#[derive(Default)]
struct Load {
    ends: AtomicBool,
    is_outage: AtomicBool,
    admitted: AtomicU64,
    admitted_in_outage: AtomicU64,
    /// Longest check that was running at the outage, or was the first after it, in microseconds.
    slowest: AtomicU64,
}

impl Load {
    /// Checks until the load ends.
    async fn run(&self, instance: &Instance) -> Vec<Admission> {
        let mut admissions = Vec::new();
        while !self.ends.load(Ordering::SeqCst) {
            let before = Instant::now();
            let was_outage = self.is_outage.load(Ordering::SeqCst);
            let is_admitted = instance.frozen.check("key", 1).await.unwrap().is_allowed();
            let took = before.elapsed();
            if self.is_outage.load(Ordering::SeqCst) {
                self.slowest.fetch_max(u64::try_from(took.as_micros()).unwrap(), Ordering::SeqCst);
            }
            self.admitted.fetch_add(u64::from(is_admitted), Ordering::SeqCst);
            self.admitted_in_outage.fetch_add(u64::from(is_admitted && was_outage), Ordering::SeqCst);
            let before = Instant::now();
            if instance.short.check("key", 1).await.unwrap().is_allowed() {
                admissions.push((before, Instant::now()));
            }
            tokio::task::yield_now().await;
        }
        admissions
    }
}

/// The number that was certainly admitted in one second that begins at `from` or later.
fn most_in_a_second(admissions: &[Admission], from: Instant) -> usize {
    let mut sorted: Vec<_> = admissions.iter().filter(|(before, _)| *before >= from).collect();
    sorted.sort_unstable_by_key(|(before, _)| *before);
    let window = |first: usize| {
        let end = sorted[first].0 + Duration::from_secs(1);
        sorted[first..].iter().take_while(|(before, _)| *before < end).filter(|(_, after)| *after < end).count()
    };
    (0..sorted.len()).map(window).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_keep_the_promise() {
    let mut world = World::start().await;
    let proxy = Proxy::start(&world.server).await;
    let mut instances = Vec::new();
    for url in [world.server.url(), world.server.url(), proxy.url()] {
        let client = connect(&url).await;
        let frozen = fallback(&client, "frozen", FixedWindow::new(yearly(LIMIT)));
        let short = fallback(&client, "short", SlidingWindow::new(Quota::per_second(PER_SECOND).unwrap()));
        instances.push(Arc::new(Instance { client, frozen, short }));
    }
    // A key whose charges before the outage are all known.
    for _ in 0..30 {
        assert!(instances[0].frozen.check("quiet", 1).await.unwrap().is_allowed());
    }
    let load = Arc::new(Load::default());
    let tasks: Vec<_> = instances
        .iter()
        .flat_map(|instance| (0..TASKS).map(move |_| instance.clone()))
        .map(|instance| {
            let load = load.clone();
            tokio::spawn(async move { load.run(&instance).await })
        })
        .collect();
    let enough = scale(300, 10_000) as u64;
    let is_loaded = async || (load.admitted.load(Ordering::SeqCst) >= enough).then_some(());
    poll_until(LONG, is_loaded).await.unwrap();

    load.is_outage.store(true, Ordering::SeqCst);
    world.server.kill9();
    let killed = Instant::now();
    tokio::time::sleep(Duration::from_millis(scale(1_500, 8_000) as u64)).await;
    load.ends.store(true, Ordering::SeqCst);
    let mut admissions = Vec::new();
    for task in tasks {
        admissions.extend(task.await.unwrap());
    }

    let slowest = Duration::from_micros(load.slowest.load(Ordering::SeqCst));
    assert!(slowest <= slower(Duration::from_millis(50)), "one decision took {slowest:?}");
    let later = median_of_checks(&instances[0].frozen).await;
    assert!(later <= slower(Duration::from_micros(10)), "half of the later decisions took {later:?} and more");
    // In the window in which the outage began, the rest is shared: only running checks count twice.
    let (all, in_outage) = (load.admitted.load(Ordering::SeqCst), load.admitted_in_outage.load(Ordering::SeqCst));
    assert!(in_outage > 100 && in_outage <= LIMIT, "{in_outage} admitted in the outage");
    assert!(all <= LIMIT + TASKS * u64::from(INSTANCES), "{all} of {LIMIT}, {in_outage} of them in the outage");
    let most = most_in_a_second(&admissions, killed);
    assert!(100 < most && most as u64 <= PER_SECOND, "{most} within one second of the outage");

    // Each gets a third of the remaining amount if it knows it, otherwise of the limit.
    let mut owed = 0;
    for (instance, times) in instances.iter().zip([400, 11, 7]) {
        for _ in 0..times {
            owed += u64::from(instance.frozen.check("quiet", 1).await.unwrap().is_allowed());
        }
    }
    assert_eq!(owed, 418);
    let lost = proxy.dropped();
    proxy.drop_every_reply_once();
    world.server.restart().await;
    let direct = world.limiter("frozen", FixedWindow::new(yearly(LIMIT)));
    let is_settled = async || {
        let used = LIMIT - direct.peek("quiet", 0).await.ok()?.remaining();
        assert!(used <= 30 + owed, "{used}: something was charged twice");
        (used == 30 + owed).then_some(())
    };
    poll_until(LONG, is_settled).await.unwrap();
    // Later requests are answered, and nothing is charged again.
    poll_until(LONG, async || instances.iter().all(|it| it.client.availability().is_available()).then_some(()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(direct.peek("quiet", 0).await.unwrap().remaining(), LIMIT - 30 - owed);
    assert!(proxy.dropped() > lost, "a reply was lost while debts were settled");
    // For the other key all admissions are charged, except running checks, even after repetitions.
    let under_way = TASKS * u64::from(INSTANCES);
    let is_there = async || {
        let used = LIMIT - direct.peek("key", 0).await.ok()?.remaining();
        assert!(used <= all + under_way, "{used} of {all}: something was charged twice");
        (used + under_way >= all).then_some(())
    };
    poll_until(LONG, is_there).await.unwrap();
}

async fn median_of_checks(limiter: &impl Limiter) -> Duration {
    let mut times = Vec::new();
    for _ in 0..2_001 {
        let started = Instant::now();
        let _ = limiter.check("later", 1).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[1_000]
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_patience() {
    let mut world = World::start().await;
    let limiter = fallback(&world.client, "api", FixedWindow::new(yearly(900)));
    assert_eq!(admit(&limiter, "key", 1).await, 1);
    world.server.hang().await;
    let started = Instant::now();
    assert!(limiter.check("key", 1).await.unwrap().is_allowed());
    let first = started.elapsed();
    assert!(first >= Duration::from_millis(40) && first < slower(Duration::from_millis(50)), "{first:?}");
    let started = Instant::now();
    assert_eq!(admit(&limiter, "key", 100).await, 100);
    assert!(started.elapsed() < slower(Duration::from_millis(5)), "{:?}", started.elapsed());
    world.server.resume();
    // The running one was executed later and is not repeated. The admissions from here are charged.
    let direct = world.limiter("api", FixedWindow::new(yearly(900)));
    let settled = async || (direct.peek("key", 0).await.ok()?.remaining() == 900 - 102).then_some(());
    poll_until(LONG, settled).await.unwrap();
}
