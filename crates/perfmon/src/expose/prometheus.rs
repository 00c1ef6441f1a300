//! A registry as a collector of `prometheus-client`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, NoLabelSet};
use prometheus_client::encoding::{EncodeLabelKey, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::EXPOSED;
use crate::histogram::snapshot::duration;
use crate::outcome::tally::{ABORTED, FAILED, PANICKED, REFUSED};
use crate::record::endpoint::Endpoint;
use crate::record::operation::Operation;
use crate::registry::Registry;
use crate::series::total::Total;

/// The figures of every endpoint and operation since the start, read at each scrape:
/// `http_requests_total` (method, route, status), `http_requests_aborted_total`,
/// `http_requests_refused_total`, `http_request_duration_seconds`, `http_wait_seconds`,
/// `http_body_wait_seconds`, `http_refusal_seconds`, `http_in_flight`, `operation_duration_seconds`
/// (kind, operation) and `operation_failures_total` (also class). The prefix is that of the
/// `prometheus-client` registry that it is registered with. Meters are not included:
/// [`Meter::totals`](crate::Meter::totals) returns each with its own bounds.
///
/// Costs about 3 µs an endpoint, half of it the text.
///
/// ```
/// use std::time::Duration;
/// use prometheus_client::encoding::text::encode;
/// use tidegate_perfmon::{Registry, StatusClass};
///
/// let registry = Registry::builder().build();
/// let mut metrics = prometheus_client::registry::Registry::with_prefix("shop");
/// metrics.register_collector(Box::new(registry.clone()));
///
/// let orders = registry.endpoint("GET", "/orders/{id}");
/// orders.record(StatusClass::Success, Duration::from_millis(12));
/// let mut text = String::new();
/// encode(&mut text, &metrics)?; // what `/metrics` answers
/// let labels = r#"method="GET",route="/orders/{id}",status="2xx""#;
/// assert!(text.contains(&format!("shop_http_requests_total{{{labels}}} 1\n")));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let endpoints = self.inner().endpoints.all();
        // Read once, so that the families of one scrape agree.
        let read: Vec<_> = endpoints.iter().map(|endpoint| (&**endpoint, endpoint.total())).collect();
        requests(encoder, &read)?;
        let help = "Time from the head of a request until it was looked at; part of its duration";
        let family = encoder.encode_descriptor("http_wait_seconds", help, None, MetricType::Histogram)?;
        histogram(family, &self.inner().waits.total())?;
        let help = "Time that requests waited for what their clients had yet to send; no part of their duration";
        let family = encoder.encode_descriptor("http_body_wait_seconds", help, None, MetricType::Histogram)?;
        histogram(family, &self.inner().body_waits.total())?;
        let help = "Time until a caller was turned away; in no request's duration";
        let family = encoder.encode_descriptor("http_refusal_seconds", help, None, MetricType::Histogram)?;
        histogram(family, &self.inner().refusals.total())?;
        let help = "Requests whose client left within 100 ms; in no other count";
        let mut family = encoder.encode_descriptor("http_requests_left_early", help, None, MetricType::Counter)?;
        counter(&mut family, [], self.left_early())?;
        let help = "Requests begun and not answered";
        let mut family = encoder.encode_descriptor("http_in_flight", help, None, MetricType::Gauge)?;
        for endpoint in &endpoints {
            let count = i64::try_from(endpoint.under_way().count()).unwrap_or(i64::MAX);
            family.encode_family(&named(endpoint))?.encode_gauge(&count)?;
        }
        operations(encoder, &self.inner().operations.all())
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, read: &[(&Endpoint, Total)]) -> fmt::Result {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let mut family = encoder.encode_descriptor("http_requests", "Requests answered", None, MetricType::Counter)?;
    for (endpoint, total) in read {
        for (status, &count) in CLASSES.into_iter().zip(&total.tallies).filter(|(_, count)| **count > 0) {
            let labels = [("method", endpoint.method()), ("route", endpoint.route()), ("status", status)];
            counter(&mut family, labels, count)?;
        }
    }
    let help = "Requests whose client left before the answer";
    let mut family = encoder.encode_descriptor("http_requests_aborted", help, None, MetricType::Counter)?;
    for (endpoint, total) in read.iter().filter(|(_, total)| total.tallies[ABORTED] > 0) {
        counter(&mut family, named(endpoint).0, total.tallies[ABORTED])?;
    }
    let help = "Requests that were turned away with 401, 403, 405 or 429; not among those answered";
    let mut family = encoder.encode_descriptor("http_requests_refused", help, None, MetricType::Counter)?;
    for (endpoint, total) in read.iter().filter(|(_, total)| total.tallies[REFUSED] > 0) {
        counter(&mut family, named(endpoint).0, total.tallies[REFUSED])?;
    }
    let help = "Time from the head of a request to that of its answer, without waits for its body";
    let mut family = encoder.encode_descriptor("http_request_duration_seconds", help, None, MetricType::Histogram)?;
    for (endpoint, total) in read {
        histogram(family.encode_family(&named(endpoint))?, total)?;
    }
    Ok(())
}

fn named(endpoint: &Endpoint) -> Labels<'_, 2> {
    Labels([("method", endpoint.method()), ("route", endpoint.route())])
}

fn operations(encoder: &mut DescriptorEncoder<'_>, operations: &[Arc<Operation>]) -> fmt::Result {
    let read: Vec<_> = operations.iter().map(|operation| (operation, operation.series.total())).collect();
    let help = "Time of operations that ended, failed ones included";
    let mut family = encoder.encode_descriptor("operation_duration_seconds", help, None, MetricType::Histogram)?;
    for (operation, total) in &read {
        let labels = Labels([("kind", operation.kind.name()), ("operation", &operation.name)]);
        histogram(family.encode_family(&labels)?, total)?;
    }
    let help = "Operations without a result: `failed` with an error or a panic, `aborted` ones were given up";
    let mut family = encoder.encode_descriptor("operation_failures", help, None, MetricType::Counter)?;
    for (operation, total) in &read {
        let failed = total.tallies[FAILED] + total.tallies[PANICKED];
        for (class, count) in [("failed", failed), ("aborted", total.tallies[ABORTED])] {
            let labels = [("kind", operation.kind.name()), ("operation", &operation.name), ("class", class)];
            counter(&mut family, labels, count)?;
        }
    }
    Ok(())
}

fn counter<const N: usize>(family: &mut MetricEncoder<'_>, labels: [(&str, &str); N], count: u64) -> fmt::Result {
    family.encode_family(&Labels(labels))?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

/// The encoder adds up by itself: it wants what each bucket alone holds, which is how a total lies.
fn histogram(mut series: MetricEncoder<'_>, total: &Total) -> fmt::Result {
    let ranges = total.ranges();
    let mut alone = [(f64::INFINITY, ranges[EXPOSED]); EXPOSED + 1];
    for (bucket, (bound, &samples)) in alone.iter_mut().zip(EXPOSITION_BOUNDS.iter().zip(ranges)) {
        *bucket = (bound.as_secs_f64(), samples);
    }
    let sum = duration(total.sum_nanos()).as_secs_f64();
    series.encode_histogram::<NoLabelSet>(sum, ranges.iter().sum(), &alone, None)
}

/// Only borrowed: the texts belong to the totals.
struct Labels<'a, const N: usize>([(&'a str, &'a str); N]);

impl<const N: usize> EncodeLabelSet for Labels<'_, N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, text) in self.0 {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            EncodeLabelKey::encode(&name, &mut key)?;
            let mut value = key.encode_label_value()?;
            EncodeLabelValue::encode(&text, &mut value)?;
            value.finish()?;
        }
        Ok(())
    }
}
