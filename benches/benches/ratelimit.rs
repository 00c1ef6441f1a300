//! Decisions: the pure algorithms, the limiters around them, and governor (GCRA, as our token bucket).
//!
//! Both sides keep `String` keys under `SipHash`. Their clocks differ: governor's default reads the processor's time
//! stamp (quanta), ours `clock_gettime`; the rows with clocks that stand still leave both out. governor answers yes
//! or no here, ours also limit, remaining and reset, counts, and holds a cap on its keys.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use governor::clock::{self, FakeRelativeClock, QuantaClock};
use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tidegate_benches::{Order, side_by_side};
use tidegate_ratelimit::{
    Algorithm, BlockPolicy, Decision, FixedWindow, ManualClock, MemoryLimiter, MemoryLimiterBuilder,
    MemoryTenantLimiter, Quota, QuotaError, SlidingWindow, SystemClock, TenantLimiter, TenantPlan, TierLimits,
    Timestamp, TokenBucket,
};

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted.
const ROOM: usize = 2 * KEYS as usize;
/// A limit that is never reached, with an interval of one nanosecond, the finest that governor has.
const PLENTY: u32 = 1_000_000_000;
/// 2023, to give windows a past.
const START: u64 = 1_700_000_000_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    pure(&mut criterion);
    keyed(&mut criterion);
    denied(&mut criterion);
    tenants(&mut criterion);
    criterion.final_summary();
}

fn pure(criterion: &mut Criterion) {
    let (plenty, scarce) = (good(Quota::per_minute(u64::from(PLENTY))), good(Quota::per_day(1)));
    let mut group = criterion.benchmark_group("decision without store and clock, allowed");
    group.bench_function("fixed window", |bencher| bencher.iter(decider(FixedWindow::new(plenty), 1_000)));
    group.bench_function("token bucket", |bencher| bencher.iter(decider(TokenBucket::new(plenty), 1_000)));
    group.bench_function("sliding window", |bencher| bencher.iter(decider(SlidingWindow::new(plenty), 1_000)));
    // Every check opens a new segment and lets an old one go.
    group.bench_function("sliding window, one check a second", |bencher| {
        bencher.iter(decider(SlidingWindow::new(plenty), 1_000_000));
    });
    group.bench_function("governor, atomic, clock stands still", |bencher| {
        let limiter = RateLimiter::direct_with_clock(foreign(PLENTY), FakeRelativeClock::default());
        bencher.iter(|| limiter.check().is_ok());
    });
    group.finish();

    let mut group = criterion.benchmark_group("decision without store and clock, denied");
    group.bench_function("fixed window", |bencher| bencher.iter(decider(FixedWindow::new(scarce), 0)));
    group.bench_function("token bucket", |bencher| bencher.iter(decider(TokenBucket::new(scarce), 0)));
    group.bench_function("sliding window", |bencher| bencher.iter(decider(SlidingWindow::new(scarce), 0)));
}

/// A check of one key, each so many microseconds after the last.
fn decider<A: Algorithm>(algorithm: A, apart: u64) -> impl FnMut() -> Decision {
    let mut now = Timestamp::from_micros(START);
    let mut state = algorithm.initial(now);
    move || {
        now = Timestamp::from_micros(now.as_micros() + apart);
        algorithm.check(&mut state, black_box(now), 1).expect("one fits")
    }
}

fn keyed(criterion: &mut Criterion) {
    let per_second = good(Quota::per_second(u64::from(PLENTY)));
    let keys: Vec<String> = (0..KEYS).map(name).collect();
    let order = Order::uniform(KEYS);
    let mut bench = |name: &str, check: &(dyn Fn(&String) -> bool + Sync)| {
        assert!(keys.iter().all(check), "from now on no key is new");
        for (spread, order) in [("one hot key", None), ("100,000 keys", Some(&order))] {
            for threads in [1, 2] {
                let group = format!("keyed check, {spread}, {threads} thread(s)");
                criterion.benchmark_group(group).bench_function(name, |bencher| {
                    bencher.iter_custom(|iterations| run(threads, iterations, &keys, order, check));
                });
            }
        }
    };
    let bucket = || MemoryLimiter::builder("bench", TokenBucket::new(per_second)).max_keys(ROOM);
    let window = || {
        let quota = good(Quota::per_minute(u64::from(PLENTY)));
        MemoryLimiter::builder("bench", SlidingWindow::new(quota)).max_keys(ROOM)
    };

    bench("nothing but picking the key", &|key| !key.is_empty());
    let ours = bucket().build();
    bench("tidegate token bucket, SystemClock", &|key| allowed(&ours, key));
    let ours = bucket().clock(ManualClock::new(Timestamp::from_micros(START))).build();
    bench("tidegate token bucket, clock stands still", &|key| allowed(&ours, key));
    let ours = window().build();
    bench("tidegate sliding window, SystemClock", &|key| allowed(&ours, key));
    let theirs: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(foreign(PLENTY));
    bench("governor, QuantaClock", &|key| theirs.check_key(key).is_ok());
    let theirs = RateLimiter::dashmap_with_clock(foreign(PLENTY), FakeRelativeClock::default());
    bench("governor, clock stands still", &|key| theirs.check_key(key).is_ok());

    let mut group = criterion.benchmark_group("reading the clock");
    let (ours, theirs) = (SystemClock::new(), QuantaClock::default());
    group.bench_function("tidegate SystemClock", |bencher| {
        bencher.iter(|| tidegate_ratelimit::Clock::now(&ours));
    });
    group.bench_function("governor QuantaClock", |bencher| bencher.iter(|| clock::Clock::now(&theirs)));
}

/// Time until each thread has made so many checks.
fn run(
    threads: usize,
    iterations: u64,
    keys: &[String],
    order: Option<&Order>,
    check: &(dyn Fn(&String) -> bool + Sync),
) -> Duration {
    side_by_side(threads, |number| match order {
        None => (0..iterations).for_each(|_| assert!(check(black_box(&keys[0])))),
        Some(order) => {
            let mut walk = order.walk(number);
            (0..iterations).for_each(|_| assert!(check(&keys[walk.step()])));
        }
    })
}

fn denied(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keyed check, denied, one hot key");
    let key = name(0);
    let scarce = || -> MemoryLimiterBuilder<TokenBucket> {
        MemoryLimiter::builder("bench", TokenBucket::new(good(Quota::per_day(1))))
    };
    for (name, limiter) in [
        ("tidegate token bucket", scarce().build()),
        ("tidegate token bucket, blocked", scarce().block(BlockPolicy::fixed(Duration::from_secs(3600))).build()),
    ] {
        allowed(&limiter, &key);
        group.bench_function(name, |bencher| bencher.iter(|| assert!(!allowed(&limiter, black_box(&key)))));
    }
    let limiter = MemoryLimiter::builder("bench", SlidingWindow::new(good(Quota::per_day(1)))).build();
    allowed(&limiter, &key);
    group.bench_function("tidegate sliding window", |bencher| {
        bencher.iter(|| assert!(!allowed(&limiter, black_box(&key))));
    });
    let one_a_day = governor::Quota::with_period(Duration::from_secs(86_400)).expect("a good quota");
    let theirs: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(one_a_day);
    let _ = theirs.check_key(&key);
    group.bench_function("governor", |bencher| bencher.iter(|| assert!(theirs.check_key(black_box(&key)).is_err())));
}

fn tenants(criterion: &mut Criterion) {
    let keys: Vec<String> = (0..KEYS).map(name).collect();
    let order = Order::uniform(KEYS);
    let limits = good(TierLimits::new(u64::from(PLENTY), 60 * u64::from(PLENTY), 1_440 * u64::from(PLENTY), None));
    let limits = TenantPlan::from(limits);
    let mut bench = |name: &str, check: &(dyn Fn(&String) -> bool + Sync)| {
        assert!(keys.iter().all(check), "from now on no tenant is new");
        for (spread, order) in [("one hot tenant", None), ("100,000 tenants", Some(&order))] {
            criterion.benchmark_group(format!("tenant check, {spread}")).bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| run(1, iterations, &keys, order, check));
            });
        }
    };
    let three = MemoryTenantLimiter::new(SystemClock::new(), ROOM);
    bench("minute, hour and day in one step", &|key| tenant_allowed(&three, key, &limits));
    let minute = MemoryLimiter::builder("minute", SlidingWindow::new(good(Quota::per_minute(u64::from(PLENTY)))))
        .max_keys(ROOM)
        .build();
    bench("the minute alone", &|key| allowed(&minute, key));
    let hour = MemoryLimiter::builder("hour", FixedWindow::new(good(Quota::per_hour(60 * u64::from(PLENTY)))))
        .max_keys(ROOM)
        .build();
    let day = MemoryLimiter::builder("day", FixedWindow::new(good(Quota::per_day(1_440 * u64::from(PLENTY)))))
        .max_keys(ROOM)
        .build();
    bench("three limiters, one after the other", &|key| {
        allowed(&minute, key) && allowed(&hour, key) && allowed(&day, key)
    });
}

fn allowed<A: Algorithm>(limiter: &MemoryLimiter<A>, key: &str) -> bool {
    black_box(limiter.check_now(key, 1).expect("one fits")).is_allowed()
}

fn tenant_allowed(limiter: &impl TenantLimiter, key: &str, limits: &TenantPlan) -> bool {
    let decision = limiter.check(key, limits, 1).now_or_never().expect("memory never waits");
    black_box(decision.expect("one fits")).allowed
}

fn name(number: u32) -> String {
    format!("tenant-{number}")
}

fn foreign(per_second: u32) -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::new(per_second).expect("not zero"))
}

fn good<T>(quota: Result<T, QuotaError>) -> T {
    quota.expect("a good quota")
}
