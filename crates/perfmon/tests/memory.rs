//! What it takes to watch a process for long, and a process under attack.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tidegate_perfmon::{Endpoint, ManualClock, PerfLayer, Registry, StatusClass, UNMATCHED};
use tidegate_testkit::{Random, scale};
use tower::{Layer, Service, service_fn};

/// Proof `perfmon-404`.
#[test]
fn a_million_unknown_paths_take_no_series_and_less_than_a_megabyte() {
    let requests = scale(50_000, 1_000_000);
    let mut random = Random::new(404);
    let mut registry = None;
    let used = allocation_counter::measure(|| {
        let made = Registry::builder().build();
        let layer = PerfLayer::new(made.clone(), |_: &Request<()>| None);
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::builder().status(StatusCode::NOT_FOUND).body(()).unwrap()))
        }));
        for number in 0..requests {
            let path = format!("/{:x}/{:x}.php?{:x}", random.next(), random.next(), random.next());
            let method = ["GET", "POST", "PROPFIND"][number % 3];
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            output(service.call(request)).unwrap().unwrap();
            if number % 1_000 == 0 {
                made.tick(made.now());
            }
        }
        registry = Some(made);
    });
    let totals = registry.unwrap().totals();
    let names: Vec<_> = totals.iter().map(|totals| (totals.method, totals.route.as_str())).collect();
    assert_eq!(names, [("GET", UNMATCHED), ("POST", UNMATCHED), ("_OTHER", UNMATCHED)]);
    let answered: u64 = totals.iter().map(|totals| totals.classes.client_error).sum();
    assert_eq!(answered, u64::try_from(requests).unwrap());
    assert!(used.bytes_max < 1_000_000, "{} bytes at the peak", used.bytes_max);
}

/// The output of a future that is ready.
fn output<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Proof `perfmon-unscraped`: 512 endpoints under load whose figures are never scraped, through 25
/// hours of a manual clock, as fast as ticks go.
#[cfg(target_os = "linux")]
#[test]
fn never_scraped_memory_stays() {
    const HOUR: usize = 3_600;
    let tick_secs = scale(60, 1);
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(clock.clone()).build();
    let endpoints: Vec<Arc<Endpoint>> =
        (0..scale(24, 512)).map(|number| registry.endpoint("GET", &format!("/route/{number}"))).collect();
    let mut random = Random::new(25);
    // Around 20 ms; two thirds of them between half of that and twice as much.
    let latencies: Vec<Duration> =
        (0..100_000).map(|_| Duration::from_secs_f64(0.020 * (0.7 * random.normal()).exp())).collect();
    let mut latencies = latencies.iter().cycle();
    let mut after_an_hour = None;
    for second in (0..25 * HOUR + 120).step_by(tick_secs) {
        for endpoint in &endpoints {
            latencies.by_ref().take(6).for_each(|&latency| endpoint.record(StatusClass::Success, latency));
        }
        clock.advance(Duration::from_secs(u64::try_from(tick_secs).unwrap()));
        registry.tick(registry.now());
        if second % HOUR >= tick_secs.max(60) || second < HOUR {
            continue;
        }
        let (resident, held) = (resident_bytes().unwrap(), registry.overhead().bytes);
        let (resident_before, held_before) = *after_an_hour.get_or_insert((resident, held));
        let hour = second / HOUR;
        assert!(resident * 100 <= resident_before * 105, "hour {hour}: {resident} bytes, {resident_before} after one");
        assert!(held * 100 <= held_before * 105, "hour {hour}: {held} bytes, {held_before} after one");
    }
    let (resident, held) = after_an_hour.unwrap();
    println!("after an hour {resident} bytes resident, {held} of the registry; in the end {:?}", resident_bytes());
}

/// Returns the resident memory of the process.
#[cfg(target_os = "linux")]
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1_024)
}
