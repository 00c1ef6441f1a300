//! Converts the text of `/metrics` into OpenTelemetry metrics: a family is a metric, and a series
//! is a point.
//!
//! It is read from the text, so that a collector gets the same metrics as a scraper, whichever part
//! registered them.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use crate::Sample;

/// Start of the counters and time of the reading, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) since: u64,
    pub(super) now: u64,
}

/// Returns all families of the text that have a series, in order. A line that can't be parsed is
/// left out.
pub(super) fn read(text: &str, span: Span) -> Vec<Metric> {
    let (mut metrics, mut help) = (Vec::new(), HashMap::new());
    let mut family: Option<Family<'_>> = None;
    for line in text.lines() {
        if let Some((name, told)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help.insert(name, told);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            metrics.extend(family.take().and_then(|family| family.metric(span)));
            family = Some(Family::new(name, kind, help.get(name).copied().unwrap_or_default()));
        } else if let (Some(family), Some(sample)) = (&mut family, Sample::read(line)) {
            family.add(sample);
        }
    }
    metrics.extend(family.and_then(|family| family.metric(span)));
    metrics
}

struct Family<'a> {
    name: &'a str,
    help: &'a str,
    points: Points,
}

enum Points {
    Counter(Vec<(Labels, f64)>),
    Gauge(Vec<(Labels, f64)>),
    Histogram(Vec<(Labels, Buckets)>),
}

type Labels = Vec<(String, String)>;

/// One histogram, filled line by line.
#[derive(Default)]
struct Buckets {
    /// Upper bounds and the number of samples at or below each, including `+Inf`.
    cumulative: Vec<(f64, u64)>,
    count: u64,
    sum: f64,
}

impl<'a> Family<'a> {
    fn new(name: &'a str, kind: &str, help: &'a str) -> Self {
        let points = match kind {
            "counter" => Points::Counter(Vec::new()),
            "histogram" => Points::Histogram(Vec::new()),
            _ => Points::Gauge(Vec::new()),
        };
        Self { name, help, points }
    }

    fn add(&mut self, sample: Sample<'_>) {
        let Some(part) = sample.name.strip_prefix(self.name) else { return };
        let mut labels: Labels = sample.labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        match &mut self.points {
            Points::Counter(points) if part == "_total" => points.push((labels, sample.value)),
            Points::Gauge(points) if part.is_empty() => points.push((labels, sample.value)),
            Points::Histogram(series) => {
                let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
                // The lines of one series are contiguous.
                if series.last().is_none_or(|(last, _)| *last != labels) {
                    series.push((labels, Buckets::default()));
                }
                let Some((_, buckets)) = series.last_mut() else { return };
                match (part, bound.and_then(|bound| bound.parse().ok())) {
                    ("_sum", None) => buckets.sum = sample.value,
                    ("_count", None) => buckets.count = whole(sample.value),
                    ("_bucket", Some(bound)) => buckets.cumulative.push((bound, whole(sample.value))),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn metric(self, span: Span) -> Option<Metric> {
        let cumulative = i32::from(AggregationTemporality::Cumulative);
        let data = match self.points {
            Points::Counter(points) if !points.is_empty() => Data::Sum(Sum {
                data_points: points.into_iter().map(|point| number(point, span.since, span.now)).collect(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Points::Gauge(points) if !points.is_empty() => {
                Data::Gauge(Gauge { data_points: points.into_iter().map(|point| number(point, 0, span.now)).collect() })
            }
            Points::Histogram(series) if !series.is_empty() => Data::Histogram(Histogram {
                data_points: series.into_iter().map(|series| histogram(series, span)).collect(),
                aggregation_temporality: cumulative,
            }),
            _ => return None,
        };
        Some(Metric {
            name: self.name.to_owned(),
            description: self.help.trim_end_matches('.').to_owned(),
            unit: unit(self.name).to_owned(),
            metadata: Vec::new(),
            data: Some(data),
        })
    }
}

/// Returns the unit as a UCUM code, which OpenTelemetry requires.
fn unit(name: &str) -> &'static str {
    match name {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes") => "By",
        name if name.ends_with("_ratio") => "1",
        _ => "",
    }
}

fn number((labels, value): (Labels, f64), since: u64, now: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: since,
        time_unix_nano: now,
        exemplars: Vec::new(),
        flags: 0,
        value: Some(Number::AsDouble(value)),
    }
}

/// The exemplars are added by [`super::exemplars`].
fn histogram((labels, buckets): (Labels, Buckets), span: Span) -> HistogramDataPoint {
    let mut below = 0;
    let counts = buckets.cumulative.iter().map(|(_, upto)| upto.saturating_sub(std::mem::replace(&mut below, *upto)));
    HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: span.since,
        time_unix_nano: span.now,
        count: buckets.count,
        sum: Some(buckets.sum),
        bucket_counts: counts.collect(),
        explicit_bounds: buckets.cumulative.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect(),
        exemplars: Vec::new(),
        flags: 0,
        min: None,
        max: None,
    }
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(key, value)| KeyValue {
        key,
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, which the text has as a number")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { since: 1, now: 2 };

    #[test]
    fn each_kind_becomes_its_own() {
        let text = concat!(
            "# HELP requests Requests answered.\n# TYPE requests counter\n",
            "requests_total{route=\"/a\",note=\"a \\\"b\\\" \\\\ c\\nd, e}\"} 3\nrequests_total{route=\"/b\"} 4\n",
            "# HELP depth Depth.\n# TYPE depth gauge\ndepth 1.5\n",
            "# HELP time_seconds Time.\n# TYPE time_seconds histogram\n",
            "time_seconds_sum{t=\"l1\"} 0.75\ntime_seconds_count{t=\"l1\"} 6\n",
            "time_seconds_bucket{le=\"0.1\",t=\"l1\"} 2\ntime_seconds_bucket{le=\"1.0\",t=\"l1\"} 5\n",
            "time_seconds_bucket{le=\"+Inf\",t=\"l1\"} 6\n",
            "# HELP empty Nothing.\n# TYPE empty counter\n# EOF\n",
        );
        let metrics = read(text, SPAN);
        let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        assert_eq!(names, [("requests", ""), ("depth", ""), ("time_seconds", "s")]);
        assert_eq!(metrics[0].description, "Requests answered");

        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
        let first = &sum.data_points[0];
        assert_eq!(
            (first.value, first.start_time_unix_nano, sum.data_points.len()),
            (Some(Number::AsDouble(3.0)), 1, 2)
        );
        let note = first.attributes[1].value.as_ref().and_then(|value| value.value.clone());
        assert_eq!(note, Some(Value::StringValue("a \"b\" \\ c\nd, e}".to_owned())));

        let Some(Data::Histogram(time)) = &metrics[2].data else { panic!("{:?}", metrics[2]) };
        let point = &time.data_points[0];
        assert_eq!((point.count, point.sum, &point.bucket_counts[..]), (6, Some(0.75), &[2, 3, 1][..]));
        assert_eq!((&point.explicit_bounds[..], point.attributes.len()), (&[0.1, 1.0][..], 1));
    }

    #[test]
    fn a_line_that_is_not_understood_is_left_out() {
        let text =
            "stray 1\n# TYPE a counter\na_total{x=\"never ends 1\na_total{x} 1\na_total NOT\na_created 5\na_total 2\n";
        let metrics = read(text, SPAN);
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!((metrics.len(), sum.data_points.len()), (1, 1));
    }
}
