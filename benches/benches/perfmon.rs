//! Recording, compared with `histogram::AtomicHistogram`, `hdrhistogram` under a mutex and two bare
//! atomic additions; a tick; the layer.
//!
//! First the recorder and its nearest peer take turns, and so do a request with the layer and one
//! without. So the ratios hold on a busy machine too.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use futures_util::FutureExt;
use histogram::AtomicHistogram;
use http::{Request, Response};
use tidegate_benches::{Comparison, Order, brief, quartiles, side_by_side};
use tidegate_perfmon::{Endpoint, Histogram, PerfLayer, Registry, StatusClass, Window};
use tower::{Layer, Service, service_fn};

fn main() {
    beside_the_peer();
    layer_beside_none();
    let mut criterion = brief(Duration::from_secs(2));
    record(&mut criterion);
    tick(&mut criterion);
    layer(&mut criterion);
    criterion.final_summary();
}

/// Latencies of 20 µs to 2 s, most of them short. A clock provides them, so that the compiler
/// cannot know them.
fn latency(index: usize) -> Duration {
    black_box(Duration::from_nanos(20_000 * (index as u64 + 1)))
}

/// The peer of `docs/benchmarks.md`: an error of 0.8 % up to the end of 64 bits, no sum, no status
/// class.
fn peer() -> AtomicHistogram {
    AtomicHistogram::new(7, 64).expect("good powers")
}

fn increment(peer: &AtomicHistogram, latency: Duration) {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    peer.increment(nanos).expect("within 64 bits");
}

/// A bound endpoint with all that it counts, beside one addition of the peer.
fn beside_the_peer() {
    const ROUNDS: usize = 41;
    const STEPS: u32 = 500_000;
    let order = Order::zipf(100_000, 0.99);
    let registry = Registry::builder().build();
    let (ours, theirs) = (registry.endpoint("GET", "/turns"), peer());

    let (mut our_walk, mut their_walk) = (order.walk(0), order.walk(0));
    let alone = Comparison::in_turns(
        ROUNDS,
        STEPS,
        |steps| (0..steps).for_each(|_| ours.record(StatusClass::Success, latency(our_walk.step()))),
        |steps| (0..steps).for_each(|_| increment(&theirs, latency(their_walk.step()))),
    );
    println!("Endpoint beside AtomicHistogram(7, 64), 1 thread: {alone}");

    let two = |work: &(dyn Fn(Duration) + Sync)| {
        side_by_side(2, |number| {
            let mut walk = order.walk(number);
            (0..STEPS).for_each(|_| work(latency(walk.step())));
        })
    };
    let both = || {
        let first = two(&|latency| ours.record(StatusClass::Success, latency));
        let second = two(&|latency| increment(&theirs, latency));
        first.as_secs_f64() / second.as_secs_f64()
    };
    let [low, middle, high] = quartiles((0..ROUNDS).map(|_| both()));
    println!("Endpoint beside AtomicHistogram(7, 64), 2 threads: ratio {middle:.2} ({low:.2} to {high:.2})");
}

/// Cost of the layer per request, by the processor time of one thread.
fn layer_beside_none() {
    let registry = Registry::builder().build();
    for number in 1..100 {
        registry.endpoint("GET", &format!("/route/{number}"));
    }
    let service = || service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
    let mut with = PerfLayer::new(registry, |_: &Request<()>| Some("/api/schedules/{id}")).layer(service());
    let mut without = service();
    let layer = Comparison::in_turns(
        41,
        50_000,
        |steps| (0..steps).for_each(|_| drop(black_box(call(&mut with)))),
        |steps| (0..steps).for_each(|_| drop(black_box(call(&mut without)))),
    );
    println!("a request with PerfLayer, 100 endpoints, beside one without: {layer}");
}

fn record(criterion: &mut Criterion) {
    let order = Order::zipf(100_000, 0.99);
    let mut bench = |name: &str, record: &(dyn Fn(Duration) + Sync)| {
        for threads in [1, 2] {
            criterion.benchmark_group(format!("record, {threads} thread(s)")).bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    side_by_side(threads, |number| {
                        let mut walk = order.walk(number);
                        (0..iterations).for_each(|_| record(latency(walk.step())));
                    })
                });
            });
        }
    };

    bench("nothing but the order", &|latency| {
        black_box(latency);
    });
    let histogram = Histogram::default();
    bench("tidegate Histogram", &|latency| histogram.record(latency));
    let registry = Registry::builder().build();
    let endpoint = registry.endpoint("GET", "/bench");
    bench("tidegate Endpoint", &|latency| endpoint.record(StatusClass::Success, latency));

    let theirs = peer();
    bench("AtomicHistogram(7, 64)", &|latency| increment(&theirs, latency));

    // Two digits: an error of 1 %. Ours has 1.6 %.
    let theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 137_000_000_000, 2).expect("good bounds");
    let theirs = Mutex::new(theirs);
    bench("Mutex<hdrhistogram>", &|latency| {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        theirs.lock().expect("no thread panics").saturating_record(nanos);
    });

    let buckets: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
    let sum = AtomicU64::new(0);
    bench("two atomic additions, buckets of a power of two", &|latency| {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        buckets[(nanos | 1).ilog2() as usize].fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(nanos, Ordering::Relaxed);
    });
}

fn tick(criterion: &mut Criterion) {
    for endpoints in [10, 512] {
        let registry = Registry::builder().build();
        let handles: Vec<Arc<Endpoint>> =
            (0..endpoints).map(|number| registry.endpoint("GET", &format!("/route/{number}"))).collect();
        let fill = || {
            for (number, endpoint) in handles.iter().enumerate() {
                for sample in 0..20 {
                    endpoint.record(StatusClass::Success, Duration::from_micros(50 * (number as u64 + sample + 1)));
                }
            }
        };
        let mut now = registry.now();
        criterion.benchmark_group("tick, 20 new samples an endpoint").bench_function(
            format!("{endpoints} endpoints"),
            |bencher| {
                bencher.iter_batched(
                    || {
                        fill();
                        now += Duration::from_secs(1);
                        now
                    },
                    |now| registry.tick(now),
                    BatchSize::PerIteration,
                );
            },
        );
        criterion.benchmark_group("page of the last 60 s").bench_function(
            format!("{endpoints} endpoints"),
            |bencher| {
                bencher.iter(|| registry.endpoints(Window::Seconds(60)));
            },
        );
    }
}

fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request through a service that does nothing");
    let service = || service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
    group.bench_function("bare", |bencher| {
        let mut service = service();
        bencher.iter(|| call(&mut service));
    });
    for endpoints in [1, 100] {
        let registry = Registry::builder().build();
        for number in 1..endpoints {
            registry.endpoint("GET", &format!("/route/{number}"));
        }
        let layer = PerfLayer::new(registry, |_: &Request<()>| Some("/api/schedules/{id}"));
        let mut service = layer.layer(service());
        group.bench_function(format!("PerfLayer, {endpoints} endpoint(s)"), |bencher| {
            bencher.iter(|| call(&mut service));
        });
    }
}

fn call(service: &mut impl Service<Request<()>, Response = Response<()>, Error = Infallible>) -> Response<()> {
    let Ok(response) = service.call(Request::new(())).now_or_never().expect("the service is ready");
    response
}
