//! Decisions: the pure algorithms, the limiters around them, and governor (GCRA, as our token
//! bucket).
//!
//! Both sides keep `String` keys under `SipHash`. Their clocks differ: governor's default reads the
//! processor's time stamp (quanta), ours `clock_gettime`. The rows with fixed clocks exclude both.
//! governor answers yes or no here. Ours also return limit, remaining and reset, count, and limit
//! the number of keys.
//!
//! After the rows of criterion come lines of its own: bytes per key, and how many checks per second
//! Redis decides compared with a bare script of the same commands. Their ratios are those of rounds
//! that take turns, so that both have the same machine.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use governor::clock::{self, FakeRelativeClock, QuantaClock};
use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tidegate_benches::{Order, SameClock, Stopwatch, brief, side_by_side};
use tidegate_ratelimit::{
    Algorithm, BlockPolicy, Clock, Decision, FixedWindow, LeakyBucket, Limiter, ManualClock, MemoryLimiter,
    MemoryLimiterBuilder, MemoryTenantLimiter, Quota, QuotaError, Quotas, RedisLimiter, SingleLimiter, SlidingCounter,
    SlidingLog, SlidingWindow, TenantLimiter, TenantPlan, TierLimits, Timestamp, TokenBucket, Windows,
};
use tidegate_redis::{Client, Config, Keyspace, Role, Script};
use tidegate_testkit::redis::RedisServer;

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted.
const ROOM: usize = 2 * KEYS as usize;
/// A limit that is never reached, with an interval of one nanosecond, the finest that governor has.
const PLENTY: u32 = 1_000_000_000;
/// 2023, to give windows a past.
const START: u64 = 1_700_000_000_000_000;

fn main() {
    let mut criterion = brief(Duration::from_secs(2));
    pure(&mut criterion);
    unkeyed(&mut criterion);
    keyed(&mut criterion);
    denied(&mut criterion);
    tenants(&mut criterion);
    criterion.final_summary();
    bytes_per_key();
    redis();
}

fn unkeyed(criterion: &mut Criterion) {
    let quota = good(Quota::per_second(100_000_000));
    let mut group = criterion.benchmark_group("check without a key");
    let still = good(SingleLimiter::with_clock(quota, Clock::from(ManualClock::new())));
    group.bench_function("tidegate, clock stands still", |bencher| bencher.iter(|| still.admits(1)));
    let theirs = RateLimiter::direct_with_clock(foreign(PLENTY), FakeRelativeClock::default());
    group.bench_function("governor, clock stands still", |bencher| bencher.iter(|| theirs.check().is_ok()));
    let same = good(SingleLimiter::with_clock(quota, SameClock::default()));
    group.bench_function("tidegate, QuantaClock", |bencher| bencher.iter(|| same.admits(1)));
    let theirs = RateLimiter::direct(foreign(PLENTY));
    group.bench_function("governor, QuantaClock", |bencher| bencher.iter(|| theirs.check().is_ok()));
    let own = good(SingleLimiter::new(quota));
    group.bench_function("tidegate, SystemClock", |bencher| bencher.iter(|| own.admits(1)));
    group.bench_function("tidegate with all figures, QuantaClock", |bencher| bencher.iter(|| same.check(1)));
}

fn pure(criterion: &mut Criterion) {
    let (plenty, scarce) = (good(Quota::per_minute(u64::from(PLENTY))), good(Quota::per_day(1)));
    let mut group = criterion.benchmark_group("decision without store and clock, allowed");
    group.bench_function("fixed window", |bencher| bencher.iter(decider(FixedWindow::new(plenty), 1_000)));
    group.bench_function("token bucket", |bencher| bencher.iter(decider(TokenBucket::new(plenty), 1_000)));
    group.bench_function("sliding window", |bencher| bencher.iter(decider(SlidingWindow::new(plenty), 1_000)));
    group.bench_function("sliding counter", |bencher| bencher.iter(decider(SlidingCounter::new(plenty), 1_000)));
    group.bench_function("leaky bucket, queue", |bencher| bencher.iter(decider(LeakyBucket::queue(plenty), 1_000)));
    let log = SlidingLog::new(good(Quota::per_second(5_000))).expect("a short one");
    group.bench_function("sliding log", |bencher| bencher.iter(decider(log, 1_000)));
    group.bench_function("three windows", |bencher| bencher.iter(decider(three_windows(), 1_000)));
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

/// Checks one key, with this number of microseconds between two checks.
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
    let ours = bucket().clock(ManualClock::at(Timestamp::from_micros(START))).build();
    bench("tidegate token bucket, clock stands still", &|key| allowed(&ours, key));
    let ours = bucket().clock(Clock::from_source(SameClock::default())).build();
    bench("tidegate token bucket, QuantaClock", &|key| allowed(&ours, key));
    let ours = window().build();
    bench("tidegate sliding window, SystemClock", &|key| allowed(&ours, key));
    let minute = good(Quota::per_minute(u64::from(PLENTY)));
    let ours = MemoryLimiter::builder("bench", FixedWindow::new(minute)).max_keys(ROOM).build();
    bench("tidegate fixed window, SystemClock", &|key| allowed(&ours, key));
    let ours = MemoryLimiter::builder("bench", SlidingCounter::new(minute)).max_keys(ROOM).build();
    bench("tidegate sliding counter, SystemClock", &|key| allowed(&ours, key));
    let ours = MemoryLimiter::builder("bench", LeakyBucket::queue(per_second)).max_keys(ROOM).build();
    bench("tidegate leaky bucket, SystemClock", &|key| allowed(&ours, key));
    let ours = MemoryLimiter::builder("bench", three_windows()).max_keys(ROOM).build();
    bench("tidegate three windows, SystemClock", &|key| allowed(&ours, key));
    let theirs: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(foreign(PLENTY));
    bench("governor, QuantaClock", &|key| theirs.check_key(key).is_ok());
    let theirs = RateLimiter::dashmap_with_clock(foreign(PLENTY), FakeRelativeClock::default());
    bench("governor, clock stands still", &|key| theirs.check_key(key).is_ok());

    let mut group = criterion.benchmark_group("reading the clock");
    let (ours, theirs) = (Clock::system(), QuantaClock::default());
    group.bench_function("tidegate SystemClock", |bencher| {
        bencher.iter(|| ours.steady());
    });
    group.bench_function("governor QuantaClock", |bencher| bencher.iter(|| clock::Clock::now(&theirs)));
}

/// Returns the time until each thread has made this number of checks.
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
    let three = MemoryTenantLimiter::new(Clock::system(), ROOM);
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

fn three_windows() -> Windows {
    let plenty = u64::from(PLENTY);
    let quotas = [Quota::per_minute(plenty), Quota::per_hour(60 * plenty), Quota::per_day(1_440 * plenty)].map(good);
    Windows::new(Quotas::new(&quotas).expect("three periods"))
}

/// Measures the memory of the process for a million keys with one charge each.
#[expect(clippy::print_stdout, reason = "this is what it is run for")]
fn bytes_per_key() {
    fn line<A: Algorithm>(algorithm: A) -> MemoryLimiter<A> {
        const MANY: u64 = 1_000_000;
        let name = algorithm.name();
        let limiter = MemoryLimiter::builder("bench", algorithm).max_keys(2 * 1_000_000).build();
        let before = resident_bytes();
        (0..MANY).for_each(|number| assert!(allowed(&limiter, &format!("{number:016x}"))));
        println!("bytes a key, {name}: {}", (resident_bytes() - before) / MANY);
        limiter
    }
    let minute = good(Quota::per_minute(u64::from(PLENTY)));
    // Each keeps its memory, so that the next one requests its own from the system.
    let _kept = (
        line(FixedWindow::new(minute)),
        line(TokenBucket::new(minute)),
        line(SlidingCounter::new(minute)),
        line(SlidingWindow::new(minute)),
        line(three_windows()),
    );
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}

/// The commands of a check without its decision.
const BARE: &str = "local time = redis.call('TIME') \
    local before = redis.call('GET', KEYS[1]) or '' \
    redis.call('SET', KEYS[1], ARGV[11], 'PX', 60000) \
    return {1, 0, #before, time[1] + 0, 0, 0}";
/// Concurrent checks, checks in a round, and rounds of which the median counts.
const TASKS: u32 = 64;
const ROUND: u32 = 40_000;
const ROUNDS: usize = 9;

#[expect(clippy::print_stdout, reason = "this is what it is run for")]
fn redis() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = RedisServer::start().await;
        // How many a second is the question, not how long the last one takes on a busy machine.
        let config = Config::parse(&server.url()).expect("a good URL").command_timeout(Duration::from_secs(10));
        let client = Client::connect(&config, Role::Cache).await.expect("it was just started");
        let keyspace = Keyspace::new("bench").expect("a good prefix");
        let minute = good(Quota::per_minute(u64::from(PLENTY)));
        let built = "supported in Redis";
        let one = RedisLimiter::builder("one", SlidingWindow::new(minute), client.clone(), keyspace.clone());
        let one = one.build().expect(built);
        let bucket = RedisLimiter::builder("bucket", TokenBucket::new(minute), client.clone(), keyspace.clone());
        let bucket = bucket.build().expect(built);
        let block = BlockPolicy::fixed(Duration::from_mins(1)).escalate(BlockPolicy::MAX, Duration::from_hours(1));
        let three = RedisLimiter::builder("three", three_windows(), client.clone(), keyspace.clone()).block(block);
        let three = three.build().expect(built);
        let script = Script::new("bare", BARE);
        let bare = async |key: &str| {
            let key = keyspace.group("bare", &[key]);
            let args = (0..10).map(|_| 1_000_000_u64.into()).chain(["s".repeat(48).into()]).collect();
            assert!(client.run(&script, &[key.as_str()], args).await.is_ok());
        };
        let checked = async |limiter: &dyn Limiter, key: &str| {
            assert!(limiter.check(key, 1).await.expect("Redis is there").is_allowed());
        };
        let mut rounds: [Vec<Round>; 4] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(round(&server, &bare).await);
            rounds[1].push(round(&server, &async |key: &str| checked(&one, key).await).await);
            rounds[2].push(round(&server, &async |key: &str| checked(&bucket, key).await).await);
            rounds[3].push(round(&server, &async |key: &str| checked(&three, key).await).await);
        }
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        let [bare, one, bucket, three] = rounds.map(|rounds| Round {
            rate: middle(rounds.iter().map(|round| round.rate).collect()),
            script: middle(rounds.iter().map(|round| round.script).collect()),
        });
        let line = |name: &str, round: &Round, beside: &Round, what: &str| {
            let Round { rate, script } = round;
            println!("Redis, {name}: {rate:.0}/s, {:.2} of {what}; {script:.1} µs in the script", rate / beside.rate);
        };
        line("bare script", &bare, &bare, "itself");
        line("sliding window", &one, &bare, "the bare script");
        line("token bucket", &bucket, &bare, "the bare script");
        line("three windows and a block", &three, &one, "one window");
    });
}

/// Cost of many checks.
struct Round {
    /// Checks a second.
    rate: f64,
    /// Microseconds that the server spent in each script.
    script: f64,
}

/// Checks by tasks with one check in flight each, over 1,000 keys.
async fn round(server: &RedisServer, work: &impl AsyncFn(&str)) -> Round {
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let stopwatch = Stopwatch::start();
    let task = |number: u32| async move {
        for nth in 0..ROUND / TASKS {
            work(&name((nth * TASKS + number) % 1_000)).await;
        }
    };
    futures_util::future::join_all((0..TASKS).map(task)).await;
    let rate = f64::from(ROUND) / stopwatch.elapsed().as_secs_f64();
    let told = server.cli(&["INFO", "commandstats"]).await;
    let script = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
    let per_call = script.and_then(|line| line.split(',').find_map(|part| part.strip_prefix("usec_per_call=")));
    Round { rate, script: per_call.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN) }
}
