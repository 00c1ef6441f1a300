//! Metrics in the text of `/metrics`.

use std::fmt::{self, Write};

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Snapshot, Totals};

/// One metric with its label sets.
pub(crate) struct Family<'a>(prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    pub(crate) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, kind).map(Self)
    }

    pub(crate) fn counter(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_counter::<NoLabelSet, _, u64>(&value, None);
        }
        self.0.encode_family(&Labels(labels))?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(crate) fn gauge(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes the only value of a gauge.
    pub(crate) fn single(mut self, value: u64) -> fmt::Result {
        self.0.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes the only value of a counter of seconds.
    pub(crate) fn single_seconds(mut self, value: f64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Writes a gauge that is not an integer.
    pub(crate) fn fraction(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&value)
    }

    /// Writes a histogram of durations.
    pub(crate) fn snapshot(&mut self, labels: &[(&str, &str)], times: &Snapshot) -> fmt::Result {
        let (count, sum_seconds) = (times.count(), times.sum().as_secs_f64());
        self.histogram(labels, &Totals { buckets: times.cumulative().collect(), count, sum_seconds })
    }

    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], totals: &Totals) -> fmt::Result {
        // The encoder accumulates buckets itself: it needs the count of each bucket alone.
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(totals.buckets.len() + 1);
        for (bound, cumulative) in &totals.buckets {
            buckets.push((*bound, cumulative - below));
            below = *cumulative;
        }
        buckets.push((f64::INFINITY, totals.count - below));
        self.0.encode_family(&Labels(labels))?.encode_histogram::<NoLabelSet>(
            totals.sum_seconds,
            totals.count,
            &buckets,
            None,
        )
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0 {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut text = key.encode_label_value()?;
            text.write_str(value)?;
            text.finish()?;
        }
        Ok(())
    }
}
