//! At the edge of Redis: what a remembered denial costs, and what a lease saves.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use tidegate_ratelimit::{DenyCache, Limiter, MemoryLimiter, Quota, TokenBucket};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    deny_cached(&mut criterion);
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
