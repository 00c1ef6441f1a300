//! Exemplars of metrics: slow and failed requests with their traces.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, HistogramDataPoint, Metric, exemplar};
use tidegate_perfmon::SlowCall;

/// The histogram of the exemplars.
const DURATIONS: &str = "tidegate_http_request_duration_seconds";
/// Maximum number of exemplars of one series in one message.
const MOST: usize = 4;

/// Adds each call that ended after `since_ms` to the series of its route.
pub(super) fn add(metrics: &mut [Metric], calls: &[SlowCall], since_ms: u64) {
    let durations = metrics.iter_mut().find(|metric| metric.name == DURATIONS);
    let Some(Data::Histogram(durations)) = durations.and_then(|metric| metric.data.as_mut()) else { return };
    for call in calls.iter().filter(|call| call.at_unix_ms >= since_ms) {
        let Some(exemplar) = exemplar(call) else { continue };
        let series = durations.data_points.iter_mut().find(|point| is_of(point, call));
        // A call that is slow and failed is in both lists.
        let is_new = |series: &&mut HistogramDataPoint| {
            series.exemplars.len() < MOST && series.exemplars.iter().all(|other| other.trace_id != exemplar.trace_id)
        };
        if let Some(series) = series.filter(is_new) {
            series.exemplars.push(exemplar);
        }
    }
}

fn is_of(point: &HistogramDataPoint, call: &SlowCall) -> bool {
    let is = |key: &str, text: &str| {
        let found = point.attributes.iter().find(|attribute| attribute.key == key);
        let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
        matches!(value, Some(Value::StringValue(value)) if value == text)
    };
    is("method", call.method) && is("route", &call.route)
}

fn exemplar(call: &SlowCall) -> Option<Exemplar> {
    let trace_id = u128::from_str_radix(call.trace_id.as_deref()?, 16).ok()?;
    Some(Exemplar {
        time_unix_nano: call.at_unix_ms.saturating_mul(1_000_000),
        trace_id: trace_id.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(call.elapsed.as_secs_f64())),
        ..Exemplar::default()
    })
}
