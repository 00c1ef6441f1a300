//! The stages before the limits: the sketch limiter, the filter of new keys, permits.
//!
//! Keys are texts of addresses under `SipHash`. "Many keys" are more than the sketch has cells in a
//! row, in random order. The row that only picks the key shows which part of a figure is the walk
//! over them.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use tidegate_benches::{Order, brief, side_by_side};
use tidegate_ratelimit::{
    Concurrency, ConcurrencyLimiter, Gradient, Limiter, ManualClock, MemoryLimiter, NewKeys, Quota, SketchLimiter,
    Timestamp, TokenBucket,
};

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted.
const ROOM: usize = 2 * KEYS as usize;
/// A limit that is never reached.
const PLENTY: u64 = 1_000_000_000;
/// 2023.
const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn main() {
    let mut criterion = brief(Duration::from_secs(1));
    let keys: Vec<String> = (0..KEYS).map(address).collect();
    let order = Order::uniform(KEYS);
    sketch_limiter(&mut criterion, &keys, &order);
    new_keys(&mut criterion, &keys, &order);
    permits(&mut criterion, &keys);
    criterion.final_summary();
}

fn sketch_limiter(criterion: &mut Criterion, keys: &[String], order: &Order) {
    let light = || SketchLimiter::builder("ddos").quota(plenty());
    let (door, still) = (light().build(), light().clock(ManualClock::at(START)).build());
    let bucket = MemoryLimiter::builder("bench", TokenBucket::new(plenty())).max_keys(ROOM).build();
    for threads in [1, 2] {
        let mut bench = |name: &str, check: &(dyn Fn(&String) -> bool + Sync)| {
            let group = format!("sketch limiter, 100,000 light keys, {threads} thread(s)");
            criterion.benchmark_group(group).bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| run(threads, iterations, keys, order, check));
            });
        };
        bench("nothing but picking the key", &|key| !key.is_empty());
        bench("sketch limiter, SystemClock", &|key| admits(&door, key));
        bench("sketch limiter, clock stands still", &|key| admits(&still, key));
        bench("memory limiter, token bucket, SystemClock", &|key| {
            black_box(bucket.check_now(key, 1).expect("one fits")).is_allowed()
        });
    }
    let mut group = criterion.benchmark_group("sketch limiter, one key");
    group.bench_function("light", |bencher| bencher.iter(|| admits(&door, black_box(&keys[0]))));
    let scarce = SketchLimiter::builder("ddos").quota(Quota::per_day(1).expect("a good quota")).build();
    while admits(&scarce, &keys[0]) {}
    group.bench_function("blocked", |bencher| bencher.iter(|| admits(&scarce, black_box(&keys[0]))));
}

fn new_keys(criterion: &mut Criterion, keys: &[String], order: &Order) {
    let inner = || MemoryLimiter::builder("bench", TokenBucket::new(plenty())).max_keys(ROOM).build();
    let bare = inner();
    let capped = NewKeys::builder(inner(), PLENTY).expect("a good cap").max_known(4 * ROOM).build();
    let mut bench = |name: &str, check: &(dyn Fn(&String) -> bool + Sync)| {
        assert!(keys.iter().all(check), "from now on no key is new");
        criterion.benchmark_group("new keys, 100,000 known keys").bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| run(1, iterations, keys, order, check));
        });
    };
    bench("the limiter behind alone", &|key| checks(&bare, key));
    bench("behind the filter", &|key| checks(&capped, key));
    let refuses = NewKeys::builder(inner(), 1).expect("a good cap").clock(ManualClock::at(START)).build();
    let _ = checks(&refuses, "first");
    bench("beyond the cap, in the shared bucket", &|key| checks(&refuses, key));
}

fn permits(criterion: &mut Criterion, keys: &[String]) {
    let limit = NonZeroU32::new(100).expect("not zero");
    let mut group = criterion.benchmark_group("permit, acquired and given back");
    for (name, rule) in
        [("fixed", Concurrency::Fixed(limit)), ("adaptive", Concurrency::Adaptive(Gradient::new().bounds(100, 1_000)))]
    {
        let limiter = ConcurrencyLimiter::builder("bench", rule).build();
        group.bench_function(name, |bencher| {
            bencher.iter(|| limiter.try_acquire(black_box(&keys[0])).expect("a place").succeeded());
        });
    }
}

/// Returns the time until each thread has made this number of checks.
fn run(
    threads: usize,
    iterations: u64,
    keys: &[String],
    order: &Order,
    check: &(dyn Fn(&String) -> bool + Sync),
) -> Duration {
    side_by_side(threads, |number| {
        let mut walk = order.walk(number);
        (0..iterations).for_each(|_| assert!(check(&keys[walk.step()])));
    })
}

fn admits(door: &SketchLimiter, key: &str) -> bool {
    black_box(door.check_now(key, 1).expect("one fits")).is_allowed()
}

fn checks(limiter: &impl Limiter, key: &str) -> bool {
    let decision = limiter.check(key, 1).now_or_never().expect("memory never waits");
    black_box(decision.expect("one fits")).is_allowed()
}

/// The period is so short that a key never comes near the share that makes it a suspect.
fn plenty() -> Quota {
    Quota::new(PLENTY, Duration::from_millis(10)).expect("a good quota")
}

fn address(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}
