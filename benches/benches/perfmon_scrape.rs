//! A scrape of 10,000 series: our registry as a collector, beside the same figures in families of
//! `prometheus-client` itself, in turns by the processor time of one thread.
//!
//! Both write the same text. Ours reads it from the counters that pages and health are made of.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Exposition;
use tidegate_benches::Comparison;
use tidegate_perfmon::{EXPOSITION_BOUNDS, Endpoint, Registry, StatusClass};

/// Each endpoint has 18 lines: 13 bounds, `+Inf`, sum, count, one class and those in progress. That
/// is 10,008 series besides the two waits.
const ENDPOINTS: usize = 556;
const ROUNDS: usize = 41;

/// Between 4 and 64 ms, as an endpoint's times are spread.
fn latency(endpoint: usize, step: usize) -> Duration {
    Duration::from_micros(4_000 + (endpoint as u64 * 7_919 + step as u64 * 104_729) % 60_000)
}

type Labels = [(&'static str, String); 2];
type ByClass = [(&'static str, String); 3];

fn main() {
    let ours = Registry::builder().cap(ENDPOINTS).build();
    let endpoints: Vec<Arc<Endpoint>> = (0..ENDPOINTS).map(|number| ours.endpoint("GET", &route(number))).collect();
    let theirs = Theirs::new();
    let record = |step| {
        for (number, endpoint) in endpoints.iter().enumerate() {
            endpoint.record(StatusClass::Success, latency(number, step));
        }
    };
    for step in 0..1_000 {
        record(step);
        theirs.record(step);
        ours.tick(ours.now());
    }
    let mut exposition = Exposition::default();
    exposition.register_collector(Box::new(ours.clone()));
    let (our_text, their_text) = (scrape(&exposition), scrape(&theirs.exposition));
    assert_eq!(series(&our_text), series(&their_text), "both show the same");
    println!("{} series, {} bytes", series(&our_text), our_text.len());

    let idle = Comparison::in_turns(
        ROUNDS,
        1,
        |times| (0..times).for_each(|_| drop(scrape(&exposition))),
        |times| (0..times).for_each(|_| drop(scrape(&theirs.exposition))),
    );
    println!("scrape, nothing recorded since the tick: {idle}");
    let (mut our_step, mut their_step) = (0, 0);
    let mut used = |before: &dyn Fn()| {
        Comparison::in_turns_after(
            before,
            ROUNDS,
            1,
            |times| {
                for _ in 0..times {
                    record(our_step);
                    our_step += 1;
                    drop(scrape(&exposition));
                }
            },
            |times| {
                for _ in 0..times {
                    theirs.record(their_step);
                    their_step += 1;
                    drop(scrape(&theirs.exposition));
                }
            },
        )
    };
    println!("scrape, every endpoint used since the tick: {}", used(&|| {}));
    // One tick per second and other work in between, as on a node: the data was last read a while
    // ago.
    let displaced = used(&|| {
        ours.tick(ours.now());
        drop(scrape(&theirs.exposition));
    });
    println!("scrape, every endpoint used since the tick, out of the caches: {displaced}");
}

/// Lines of figures. Ours has the headings of operations, of which there are none.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

fn route(number: usize) -> String {
    format!("/api/things/{number}/{{id}}")
}

fn scrape(exposition: &Exposition) -> String {
    let mut text = String::new();
    encode(&mut text, exposition).expect("a text takes everything");
    text
}

/// The same, held by the library.
struct Theirs {
    exposition: Exposition,
    endpoints: Vec<(Counter, Histogram)>,
}

impl Theirs {
    fn new() -> Self {
        let requests = Family::<ByClass, Counter>::default();
        let durations = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(EXPOSITION_BOUNDS.map(|bound| bound.as_secs_f64()))
        });
        let mut exposition = Exposition::default();
        exposition.register("http_requests", "Requests answered", requests.clone());
        exposition.register("http_request_duration_seconds", "Time of a request", durations.clone());
        let under_way = Family::<Labels, Gauge>::default();
        exposition.register("http_in_flight", "Requests begun and not answered", under_way.clone());
        for wait in ["http_wait_seconds", "http_body_wait_seconds", "http_refusal_seconds"] {
            let times = Histogram::new(EXPOSITION_BOUNDS.map(|bound| bound.as_secs_f64()));
            exposition.register(wait, "Time that a request waited", times);
        }
        // Families that are empty in both.
        exposition.register("http_requests_aborted", "Requests given up", Family::<Labels, Counter>::default());
        exposition.register("http_requests_refused", "Requests turned away", Family::<Labels, Counter>::default());
        exposition.register("http_requests_left_early", "Requests left at once", Counter::<u64>::default());
        let no_operations = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new([1.0]));
        exposition.register("operation_duration_seconds", "Time of operations", no_operations);
        exposition.register("operation_failures", "Operations without a result", Family::<Labels, Counter>::default());
        let endpoints = (0..ENDPOINTS).map(|number| {
            let labels = [("method", "GET".to_owned()), ("route", route(number))];
            let [method, path] = labels.clone();
            under_way.get_or_create(&labels).set(0);
            let by_class = [method, path, ("status", "2xx".to_owned())];
            (requests.get_or_create(&by_class).clone(), durations.get_or_create(&labels).clone())
        });
        let endpoints = endpoints.collect();
        Self { exposition, endpoints }
    }

    fn record(&self, step: usize) {
        for (number, (requests, durations)) in self.endpoints.iter().enumerate() {
            requests.inc();
            durations.observe(latency(number, step).as_secs_f64());
        }
    }
}
