//! A registry as a collector of `prometheus-client`.

use std::collections::HashMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, NoLabelSet};
use prometheus_client::encoding::{EncodeLabelKey, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::endpoint::StatusCounts;
use crate::registry::Registry;
use crate::totals::{EXPOSITION_BOUNDS, EndpointTotals, OperationTotals, Totals};

/// The figures of every endpoint and operation since the start, read anew at each scrape: `http_requests_total` (method, route,
/// status), `http_requests_aborted_total`, `http_request_duration_seconds`, `http_wait_seconds`, `http_body_wait_seconds`,
/// `http_in_flight`, `operation_duration_seconds` (kind, operation) and `operation_failures_total` (also class). A prefix is that of
/// the registry of `prometheus-client` that it is registered with. Meters are not among them: [`Meter::totals`](crate::Meter::totals)
/// tells each at its own bounds.
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
/// registry.endpoint("GET", "/orders/{id}").record(StatusClass::Success, Duration::from_millis(12));
/// let mut text = String::new();
/// encode(&mut text, &metrics)?; // what `/metrics` answers
/// assert!(text.contains("shop_http_requests_total{method=\"GET\",route=\"/orders/{id}\",status=\"2xx\"} 1\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let endpoints = self.totals();
        requests(encoder, &endpoints)?;
        let help = "Time from the head of a request until it was looked at; part of its duration";
        let family = encoder.encode_descriptor("http_wait_seconds", help, None, MetricType::Histogram)?;
        histogram(family, &self.http_wait_totals())?;
        let help = "Time that requests waited for what their clients had yet to send; no part of their duration";
        let family = encoder.encode_descriptor("http_body_wait_seconds", help, None, MetricType::Histogram)?;
        histogram(family, &self.http_body_wait_totals())?;
        let help = "Requests begun and not answered";
        let mut family = encoder.encode_descriptor("http_in_flight", help, None, MetricType::Gauge)?;
        let under_way = self.in_flight();
        let under_way: HashMap<_, _> =
            under_way.iter().map(|endpoint| ((endpoint.method, endpoint.route.as_str()), endpoint.count)).collect();
        for EndpointTotals { method, route, .. } in &endpoints {
            let count = under_way.get(&(*method, route.as_str())).copied().unwrap_or(0);
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.encode_family(&Labels([("method", method), ("route", route)]))?.encode_gauge(&count)?;
        }
        operations(encoder, &self.operation_totals())
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, endpoints: &[EndpointTotals]) -> fmt::Result {
    let mut family = encoder.encode_descriptor("http_requests", "Requests answered", None, MetricType::Counter)?;
    for EndpointTotals { method, route, classes, .. } in endpoints {
        for (status, count) in by_class(classes).into_iter().filter(|(_, count)| *count > 0) {
            counter(&mut family, [("method", method), ("route", route), ("status", status)], count)?;
        }
    }
    let help = "Requests whose client left before the answer";
    let mut family = encoder.encode_descriptor("http_requests_aborted", help, None, MetricType::Counter)?;
    for EndpointTotals { method, route, aborted, .. } in endpoints.iter().filter(|endpoint| endpoint.aborted > 0) {
        counter(&mut family, [("method", method), ("route", route)], *aborted)?;
    }
    let help = "Time from the head of a request to that of its answer, without waits for its body";
    let mut family = encoder.encode_descriptor("http_request_duration_seconds", help, None, MetricType::Histogram)?;
    for EndpointTotals { method, route, latency, .. } in endpoints {
        histogram(family.encode_family(&Labels([("method", method), ("route", route)]))?, latency)?;
    }
    Ok(())
}

fn operations(encoder: &mut DescriptorEncoder<'_>, operations: &[OperationTotals]) -> fmt::Result {
    let help = "Time of operations that ended, failed ones included";
    let mut family = encoder.encode_descriptor("operation_duration_seconds", help, None, MetricType::Histogram)?;
    for OperationTotals { kind, operation, latency, .. } in operations {
        histogram(family.encode_family(&Labels([("kind", kind.name()), ("operation", operation)]))?, latency)?;
    }
    let help = "Operations without a result: `failed` with an error or a panic, `aborted` ones were given up";
    let mut family = encoder.encode_descriptor("operation_failures", help, None, MetricType::Counter)?;
    for OperationTotals { kind, operation, failed, panicked, cancelled, .. } in operations {
        for (class, count) in [("failed", failed + panicked), ("aborted", *cancelled)] {
            counter(&mut family, [("kind", kind.name()), ("operation", operation), ("class", class)], count)?;
        }
    }
    Ok(())
}

fn counter<const N: usize>(family: &mut MetricEncoder<'_>, labels: [(&str, &str); N], count: u64) -> fmt::Result {
    family.encode_family(&Labels(labels))?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn histogram(mut series: MetricEncoder<'_>, totals: &Totals) -> fmt::Result {
    // The encoder adds up by itself: it wants what each bucket alone holds.
    let mut alone = [(f64::INFINITY, totals.count); EXPOSITION_BOUNDS.len() + 1];
    let mut below = 0;
    for (bucket, &(bound, up_to)) in alone.iter_mut().zip(&totals.buckets) {
        *bucket = (bound, up_to - below);
        below = up_to;
    }
    alone[EXPOSITION_BOUNDS.len()].1 -= below;
    series.encode_histogram::<NoLabelSet>(totals.sum_seconds, totals.count, &alone, None)
}

fn by_class(counts: &StatusCounts) -> [(&'static str, u64); 5] {
    let StatusCounts { informational, success, redirection, client_error, server_error } = *counts;
    [("1xx", informational), ("2xx", success), ("3xx", redirection), ("4xx", client_error), ("5xx", server_error)]
}

/// Not to be held by anybody: the texts are the totals'.
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
