//! In front of Redis: the cost of a remembered denial, and the saving of a lease.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use std::sync::Arc;
use tidegate_benches::{Stopwatch, brief};
use tidegate_ratelimit::{
    DenyCache, LeasedLimiter, Limiter, MemoryLimiter, Quota, RedisLimiter, SlidingWindow, TokenBucket,
};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;

fn main() {
    let mut criterion = brief(Duration::from_secs(2));
    deny_cached(&mut criterion);
    leased(&mut criterion);
    criterion.final_summary();
}

/// A denial that is held: without a future, and through the trait as routes call it.
fn deny_cached(criterion: &mut Criterion) {
    let quota = Quota::per_day(1).expect("a good quota");
    let inner = MemoryLimiter::builder("bench", TokenBucket::new(quota)).build();
    let cache = DenyCache::builder(inner).hold(Duration::from_secs(3_600)).build();
    let check = |key: &str| cache.check(key, 1).now_or_never().expect("memory never waits").expect("one fits");
    assert!(check("tenant-1").is_allowed() && !check("tenant-1").is_allowed());
    let mut group = criterion.benchmark_group("deny-cached");
    group.bench_function("cached", |bencher| {
        bencher.iter(|| assert!(cache.cached(black_box("tenant-1"), 1).is_some()));
    });
    group.bench_function("check, boxed future included", |bencher| {
        bencher.iter(|| assert!(!check(black_box("tenant-1")).is_allowed()));
    });
    assert_eq!(cache.inner().stats().denied, 1, "the limiter behind was asked once");
}

/// Tasks that check one key at the same time.
const TASKS: u64 = 64;

/// One hot key over Redis from many tasks: one round trip for each check, and leases. Time for each
/// check.
fn leased(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let (_server, client) = runtime.block_on(async {
        let server = RedisServer::start().await;
        let config = Config::parse(&server.url()).expect("a good URL").command_timeout(Duration::from_secs(10));
        let client = Client::connect(&config, Role::Cache).await.expect("a server");
        (server, client)
    });
    let limiter = |name: &str| {
        let quota = Quota::per_minute(1_000_000_000_000).expect("a good quota");
        let keys = Keyspace::new("bench").expect("a good prefix");
        RedisLimiter::builder(name, SlidingWindow::new(quota), client.clone(), keys).build().expect("it is supported")
    };
    let limiters: [(&str, Arc<dyn Limiter>); 2] = [
        ("one round trip each", Arc::new(limiter("direct"))),
        ("leased", Arc::new(LeasedLimiter::builder(limiter("leased")).build())),
    ];
    let mut group = criterion.benchmark_group("one hot key over Redis, 64 tasks");
    for (name, limiter) in limiters {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| runtime.block_on(all(&limiter, iterations)));
        });
    }
}

/// Returns the time until all tasks together have made this number of checks.
async fn all(limiter: &Arc<dyn Limiter>, checks: u64) -> Duration {
    let stopwatch = Stopwatch::start();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let limiter = Arc::clone(limiter);
            let mine = checks / TASKS + u64::from(task < checks % TASKS);
            tokio::spawn(async move {
                for _ in 0..mine {
                    assert!(limiter.check("key", 1).await.expect("Redis answers").is_allowed());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no check fails");
    }
    stopwatch.elapsed()
}
