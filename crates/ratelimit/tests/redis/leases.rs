//! Leases: no window admits more than without them, near the limit there are none, and every change
//! of a key drops them.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, CheckError, FixedWindow, LeakyBucket, LeasedLimiter, Limiter, ManualClock, Quota, Quotas,
    RedisAlgorithm, RedisLimiter, SlidingCounter, SlidingLog, SlidingWindow, Timestamp, TokenBucket, Windows,
};
use tidegate_redis::Command;
use tidegate_testkit::{poll_until, scale};

use crate::support::{LONG, World, admit, for_all, keyspace, runtime, test_clock, yearly};

const START: u64 = 1_700_000_000_000_000;
const PERIOD: u64 = 5_000_000;
const LIMIT: u64 = 300;

/// Processes that lease, with different clocks, and one that does not.
struct Simulation<A: RedisAlgorithm> {
    leasing: Vec<(LeasedLimiter<A>, ManualClock)>,
    plain: RedisLimiter<A>,
}

impl<A: RedisAlgorithm> Simulation<A> {
    fn new(world: &World, name: &str, algorithm: A) -> Self {
        let shared = || {
            let builder = RedisLimiter::builder(name, algorithm, world.client.clone(), keyspace());
            builder.test_clock(test_clock()).build().unwrap()
        };
        let leasing = || {
            let clock = ManualClock::default();
            (LeasedLimiter::builder(shared()).clock(clock.clone()).build(), clock)
        };
        Self { leasing: (0..3).map(|_| leasing()).collect(), plain: shared() }
    }

    /// Runs a trace of pauses, processes, repetitions and costs. Returns the admissions with their
    /// times.
    async fn run(&self, world: &World, trace: &[(u64, usize, u64, u64)]) -> Vec<(u64, u64)> {
        let mut now = START;
        let mut admitted = Vec::new();
        for (pause, who, times, cost) in trace {
            now += pause;
            world.set_clock(now).await;
            for (index, (_, clock)) in self.leasing.iter().enumerate() {
                clock.set(Timestamp::from_micros(now - START + 1_000_000_000 * index as u64));
            }
            for _ in 0..*times {
                let decision = match self.leasing.get(*who) {
                    Some((limiter, _)) => limiter.check("key", *cost).await,
                    None => self.plain.check("key", *cost).await,
                };
                if decision.unwrap().is_allowed() {
                    admitted.push((now, *cost));
                }
            }
        }
        admitted
    }

    fn leased(&self) -> u64 {
        self.leasing.iter().map(|(limiter, _)| limiter.leased()).sum()
    }
}

fn trace() -> impl Strategy<Value = Vec<(u64, usize, u64, u64)>> {
    let cost = prop_oneof![4 => Just(1_u64), 1 => 2..4_u64];
    let pause = prop_oneof![4 => 0..60_000_u64, 2 => 0..600_000_u64, 1 => 0..4_000_000_u64];
    proptest::collection::vec((pause, 0_usize..4, 1_u64..60, cost), 12..scale(24, 40))
}

fn most_in_any_window(admitted: &[(u64, u64)]) -> u64 {
    most_in(admitted, PERIOD)
}

/// The maximum admitted in any interval of that length that begins with an admission.
fn most_in(admitted: &[(u64, u64)], length: u64) -> u64 {
    let windows = (0..admitted.len()).map(|first| {
        let in_window = admitted[first..].iter().take_while(|(at, _)| at - admitted[first].0 < length);
        in_window.map(|(_, cost)| cost).sum()
    });
    windows.max().unwrap_or(0)
}

fn most_in_an_aligned_window(admitted: &[(u64, u64)]) -> u64 {
    let sum = |window: u64| admitted.iter().filter(|(at, _)| at / PERIOD == window).map(|(_, cost)| cost).sum();
    admitted.iter().map(|(at, _)| sum(at / PERIOD)).max().unwrap_or(0)
}

/// Runs traces over one key each, and checks that leases were used at all.
fn for_all_traces<A: RedisAlgorithm>(algorithm: A, holds: impl Fn(&[(u64, u64)]) -> bool) {
    let runtime = runtime();
    let world = runtime.block_on(World::start_patient());
    let leased = std::cell::Cell::new(0);
    let number = std::cell::Cell::new(0);
    // A few traces may randomly contain only cold keys, which have no lease.
    for_all(8, trace(), |trace| {
        number.set(number.get() + 1);
        let simulation = Simulation::new(&world, &format!("api-{}", number.get()), algorithm);
        let admitted = runtime.block_on(simulation.run(&world, &trace));
        leased.set(leased.get() + simulation.leased());
        prop_assert!(holds(&admitted), "{:?}", admitted);
        Ok(())
    });
    assert!(leased.get() > 20, "{} checks by lease", leased.get());
}

fn quota() -> Quota {
    Quota::new(LIMIT, Duration::from_micros(PERIOD)).unwrap()
}

#[test]
fn a_sliding_window_never_gets_more_than_its_limit() {
    for_all_traces(SlidingWindow::new(quota()), |admitted| most_in_any_window(admitted) <= LIMIT);
}

#[test]
fn several_quotas_never_get_more_than_any_of_them() {
    let burst = Quota::new(200, Duration::from_micros(PERIOD / 5)).unwrap();
    for_all_traces(Windows::new(Quotas::new(&[burst, quota()]).unwrap()), |admitted| {
        most_in(admitted, PERIOD / 5) <= 200 && most_in(admitted, PERIOD) <= LIMIT
    });
}

#[test]
fn a_fixed_window_never_gets_more_than_its_limit() {
    for_all_traces(FixedWindow::new(quota()), |admitted| most_in_an_aligned_window(admitted) <= LIMIT);
}

#[test]
fn a_sliding_counter_keeps_its_bound() {
    for_all_traces(SlidingCounter::new(quota()), |admitted| {
        most_in_an_aligned_window(admitted) <= LIMIT && most_in_any_window(admitted) < 2 * LIMIT
    });
}

#[test]
fn a_bucket_keeps_its_bound_in_any_time() {
    let burst = 150;
    let holds = |admitted: &[(u64, u64)]| {
        (0..admitted.len()).all(|first| {
            let mut sum = 0;
            admitted[first..].iter().all(|(at, cost)| {
                sum += cost;
                sum <= burst + LIMIT * (at - admitted[first].0) / PERIOD
            })
        })
    };
    // A meter is the same bucket with the same keys.
    for_all_traces(TokenBucket::new(quota().burst(burst).unwrap()), holds);
}

fn leased<A: RedisAlgorithm>(world: &World, name: &str, algorithm: A) -> LeasedLimiter<A> {
    let shared = RedisLimiter::builder(name, algorithm, world.client.clone(), keyspace());
    LeasedLimiter::builder(shared.block(BlockPolicy::fixed(LONG)).build().unwrap()).build()
}

#[tokio::test]
async fn a_hot_key_asks_seldom_and_a_cold_one_each_time() {
    let world = World::start_patient().await;
    let limiter = leased(&world, "api", SlidingWindow::new(yearly(1_000_000)));
    for key in 0..200 {
        assert_eq!(admit(&limiter, &format!("cold-{key}"), 4).await, 4);
    }
    assert_eq!(limiter.leased(), 0);
    assert_eq!(admit(&limiter, "hot", 5_000).await, 5_000);
    assert!(limiter.leased() > 4_500, "{}", limiter.leased());
    let stats = limiter.stats();
    assert_eq!((stats.allowed, stats.denied, stats.failed), (5_800, 0, 0));
    // The last lease may not be used up. Its rest is available to no other process, but visible
    // here.
    let (here, there) = (limiter.peek("hot", 1).await.unwrap(), limiter.shared().peek("hot", 1).await.unwrap());
    assert!(there.remaining() <= here.remaining() && here.remaining() <= 1_000_000 - 5_000);
    assert_eq!(world.keys().await.len(), 201, "one key each, leases or not");
}

#[tokio::test]
async fn a_cost_that_never_fits_makes_no_key_hot() {
    let world = World::start_patient().await;
    let limiter = leased(&world, "api", FixedWindow::new(yearly(80_000)));
    assert_eq!(admit(&limiter, "key", 3).await, 3);
    let error = CheckError::CostExceedsLimit { cost: u64::MAX, limit: 80_000 };
    assert_eq!(limiter.check("key", u64::MAX).await, Err(error));
    assert_eq!(admit(&limiter, "key", 1).await, 1);
    assert_eq!(limiter.shared().peek("key", 1).await.unwrap().remaining(), 80_000 - 4);
}

#[tokio::test]
async fn near_the_limit_every_single_one_is_admitted_and_no_more() {
    let world = World::start_patient().await;
    let limiter = leased(&world, "api", FixedWindow::new(yearly(2_000)));
    // Leases end by themselves only after half a second, so an unused rest would be missing here.
    assert_eq!(admit(&limiter, "key", 5_000).await, 2_000);
    assert!(limiter.leased() > 1_000);
    assert!(limiter.check("key", 1).await.unwrap().blocked_for().is_some());
}

/// Size of the value of `key` on the server, in bytes.
async fn bytes_of(world: &World, name: &str) -> i64 {
    let key = format!("test:{{rl:{name}:key}}");
    world.client.execute(Command::new("STRLEN").key(&key)).await.unwrap().as_int().unwrap()
}

/// Takes consecutive leases for more than a period, and then everything that remains.
async fn lease_steadily<A: RedisAlgorithm>(world: &World, name: &str, algorithm: A, most_bytes: i64) {
    const LONG_PERIOD: u64 = 40 * PERIOD;
    const LONG_LIMIT: u64 = 30_000;
    let simulation = Simulation::new(world, name, algorithm);
    let step = 500_000;
    let steps = LONG_PERIOD / step * 11 / 10;
    let mut admitted: Vec<(u64, u64)> = Vec::new();
    for nth in 0..steps {
        let now = START + nth * step;
        world.set_clock(now).await;
        let (limiter, clock) = &simulation.leasing[0];
        clock.set(Timestamp::from_micros(now - START + 1_000_000));
        admitted.push((now, admit(limiter, "key", 66).await));
        if nth % 16 == 0 {
            admitted.push((now, admit(&simulation.plain, "key", 1).await));
            let bytes = bytes_of(world, name).await;
            assert!(bytes <= most_bytes, "{name}: {bytes} bytes after {nth} steps");
        }
    }
    // The unused rest of a lease is lost with the limiter.
    let left = simulation.plain.peek("key", 0).await.unwrap().remaining();
    assert!(simulation.plain.check("key", left).await.unwrap().is_allowed());
    admitted.push((START + (steps - 1) * step, left));
    assert!(simulation.leased() > 20_000, "{}", simulation.leased());
    let most = most_in(&admitted, LONG_PERIOD);
    assert!((LONG_LIMIT * 9 / 10..=LONG_LIMIT).contains(&most), "{name}: {most}");
}

#[tokio::test]
async fn a_key_that_is_leased_steadily_stays_small() {
    let world = World::start_patient().await;
    let long = Quota::new(30_000, Duration::from_micros(40 * PERIOD)).unwrap();
    let minute = Quota::new(100_000, Duration::from_mins(1)).unwrap();
    // Two for each of 60 segments, and those of the leases in the future.
    let window = 14 * (2 * 60 + 10);
    lease_steadily(&world, "window", SlidingWindow::new(long), 100 + window).await;
    lease_steadily(&world, "windows", Windows::new(Quotas::new(&[minute, long]).unwrap()), 100 + 2 * window).await;
}

/// One process knows an old remaining amount, and others have used it up since.
async fn lease_late<A: RedisAlgorithm>(world: &World, algorithm: A) {
    let (name, clock) = (format!("late-{}", algorithm.name()), ManualClock::default());
    let shared = || RedisLimiter::builder(&name, algorithm, world.client.clone(), keyspace()).build().unwrap();
    let (limiter, plain) = (LeasedLimiter::builder(shared()).clock(clock.clone()).build(), shared());
    assert_eq!(admit(&limiter, "key", 100).await, 100);
    let used = limiter.leased();
    assert!(used > 0, "{name}");
    clock.advance(Duration::from_millis(600));
    let left = plain.peek("key", 0).await.unwrap().remaining();
    assert!(plain.check("key", left - 150).await.unwrap().is_allowed());
    // It requests 100 again, of which the cost and the lease would fit.
    assert_eq!(admit(&limiter, "key", 10).await, 10, "{name}");
    assert_eq!((limiter.leased(), plain.peek("key", 0).await.unwrap().remaining()), (used, 140), "{name}");
}

#[tokio::test]
async fn a_lease_takes_no_more_than_an_eighth_of_what_is_left_now() {
    let world = World::start_patient().await;
    let quota = yearly(2_000);
    lease_late(&world, FixedWindow::new(quota)).await;
    lease_late(&world, SlidingCounter::new(quota)).await;
    lease_late(&world, SlidingWindow::new(quota)).await;
    lease_late(&world, Windows::new(quota.into())).await;
    lease_late(&world, TokenBucket::new(quota)).await;
}

#[tokio::test]
async fn whoever_changes_a_key_here_drops_its_lease() {
    let world = World::start_patient().await;
    let limiter = leased(&world, "api", SlidingWindow::new(yearly(100_000)));
    let warm = async || {
        let before = limiter.leased();
        assert_eq!(admit(&limiter, "key", 200).await, 200);
        assert!(limiter.leased() > before);
    };
    warm().await;
    limiter.block("key", LONG).await.unwrap();
    assert_eq!(admit(&limiter, "key", 10).await, 0);
    assert!(limiter.unblock("key").await.unwrap());
    warm().await;
    assert!(limiter.reset("key").await.unwrap());
    assert_eq!(limiter.check("key", 1).await.unwrap().remaining(), 99_999);
    warm().await;
    limiter.set_quota(yearly(100)).unwrap();
    assert!(!limiter.check("key", 1).await.unwrap().is_allowed(), "200 of 100 are used");
}

#[tokio::test]
async fn a_reward_gives_no_key_more_than_its_limit() {
    let world = World::start_patient().await;
    let shared = RedisLimiter::builder("api", SlidingWindow::new(yearly(100_000)), world.client.clone(), keyspace());
    let limiter = LeasedLimiter::builder(shared.build().unwrap()).life(LONG).build();
    for _ in 0..1_000 {
        if limiter.leased() == 0 {
            assert_eq!(admit(&limiter, "key", 1).await, 1);
        }
    }
    assert_eq!(limiter.leased(), 1, "the first of a lease");
    // More than was admitted: the current lease is part of the refund.
    let left = limiter.reward("key", 100_000).await.unwrap();
    assert_eq!(left.remaining(), 100_000);
    assert_eq!(limiter.check("key", 1).await.unwrap().remaining(), 99_999);
    assert_eq!(limiter.leased(), 1, "nothing of the old lease");
}

#[tokio::test]
async fn what_others_change_shows_within_the_life_of_a_lease() {
    let world = World::start_patient().await;
    let limiter = leased(&world, "api", SlidingWindow::new(yearly(10_000_000)));
    assert_eq!(admit(&limiter, "key", 500).await, 500);
    let blocked_at = Duration::from_millis(1_500);
    world.limiter("api", SlidingWindow::new(yearly(10_000_000))).block("key", LONG).await.unwrap();
    let blocked =
        poll_until(blocked_at, async || limiter.check("key", 1).await.unwrap().blocked_for().is_some().then_some(()));
    blocked.await.expect("half a second, and what a busy machine takes beside");
}

#[tokio::test]
async fn logs_and_queues_are_never_leased() {
    let world = World::start_patient().await;
    let log = leased(&world, "log", SlidingLog::new(yearly(500)).unwrap());
    let queue = leased(&world, "queue", LeakyBucket::queue(Quota::per_second(1_000).unwrap()));
    assert_eq!((admit(&log, "key", 600).await, admit(&queue, "key", 300).await), (500, 300));
    assert_eq!((log.leased(), queue.leased()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_for_one_lease_and_go_on_when_its_fetcher_is_gone() {
    let world = World::start_patient().await;
    let limiter = Arc::new(leased(&world, "api", FixedWindow::new(yearly(10_000_000))));
    assert_eq!(admit(&*limiter, "key", 100).await, 100);
    world.server.cli(&["CONFIG", "RESETSTAT"]).await;
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    if number % 4 == 0 {
                        // Dropped at its first await, even if it fetches.
                        let mut dropped = std::pin::pin!(limiter.check("key", 1));
                        std::future::poll_fn(|context| {
                            let _ = dropped.as_mut().poll(context);
                            std::task::Poll::Ready(())
                        })
                        .await;
                        tokio::task::yield_now().await;
                    } else {
                        assert!(limiter.check("key", 1).await.unwrap().is_allowed());
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(LONG, task).await.expect("nobody waits for ever").unwrap();
    }
}
