//! A scrape of 10,000 series: from our registry through a `Collector`, beside the same figures in families of
//! `prometheus-client` itself, in turns by the processor time of one thread.
//!
//! Both write the same text. Ours reads it from the counters that pages and health are made of.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Exposition;
use tidegate_benches::Comparison;
use tidegate_perfmon::{EXPOSITION_BOUNDS, Endpoint, EndpointTotals, Registry, StatusClass};

/// With 13 bounds, `+Inf`, sum, count and one class each makes 17 lines: 10,013 series.
const ENDPOINTS: usize = 589;
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
    let (our_text, their_text) = (scrape(&ours), theirs.scrape());
    assert_eq!(our_text.lines().count(), their_text.lines().count(), "both show the same");
    println!("{} lines, {} bytes", our_text.lines().count(), our_text.len());

    let idle = Comparison::in_turns(
        ROUNDS,
        1,
        |times| (0..times).for_each(|_| drop(scrape(&ours))),
        |times| (0..times).for_each(|_| drop(theirs.scrape())),
    );
    println!("scrape, nothing recorded since the tick: {idle}");
    let (mut our_step, mut their_step) = (0, 0);
    let busy = Comparison::in_turns(
        ROUNDS,
        1,
        |times| {
            for _ in 0..times {
                record(our_step);
                our_step += 1;
                drop(scrape(&ours));
            }
        },
        |times| {
            for _ in 0..times {
                theirs.record(their_step);
                their_step += 1;
                drop(theirs.scrape());
            }
        },
    );
    println!("scrape, every endpoint used since the tick: {busy}");
}

fn route(number: usize) -> String {
    format!("/api/things/{number}/{{id}}")
}

/// What the application does at each scrape.
fn scrape(registry: &Registry) -> String {
    let mut exposition = Exposition::default();
    exposition.register_collector(Box::new(Ours(registry.totals())));
    let mut text = String::new();
    encode(&mut text, &exposition).expect("a text takes everything");
    text
}

#[derive(Debug)]
struct Ours(Vec<EndpointTotals>);

impl Collector for Ours {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut requests = encoder.encode_descriptor("requests", "Requests answered", None, MetricType::Counter)?;
        for EndpointTotals { method, route, classes, .. } in &self.0 {
            requests
                .encode_family(&[("method", *method), ("route", route), ("status", "2xx")])?
                .encode_counter::<NoLabelSet, _, u64>(&classes.success, None)?;
        }
        let mut durations = encoder.encode_descriptor("duration", "Time of a request", None, MetricType::Histogram)?;
        for EndpointTotals { method, route, latency, .. } in &self.0 {
            let mut below = 0;
            let mut alone: Vec<(f64, u64)> = Vec::with_capacity(latency.buckets.len() + 1);
            for &(bound, up_to) in &latency.buckets {
                alone.push((bound, up_to - below));
                below = up_to;
            }
            alone.push((f64::INFINITY, latency.count - below));
            durations.encode_family(&[("method", *method), ("route", route)])?.encode_histogram::<NoLabelSet>(
                latency.sum_seconds,
                latency.count,
                &alone,
                None,
            )?;
        }
        Ok(())
    }
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
        exposition.register("requests", "Requests answered", requests.clone());
        exposition.register("duration", "Time of a request", durations.clone());
        let endpoints = (0..ENDPOINTS).map(|number| {
            let labels = [("method", "GET".to_owned()), ("route", route(number))];
            let [method, path] = labels.clone();
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

    fn scrape(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.exposition).expect("a text takes everything");
        text
    }
}
