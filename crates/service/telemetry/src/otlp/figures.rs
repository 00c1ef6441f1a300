//! Outcomes of exported spans and metrics, for `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::spans::Outlet;
use crate::Family;

#[derive(Debug)]
pub(super) struct Figures(pub(super) Arc<Outlet>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (spans, metrics) = (&self.0.spans, &self.0.metrics);
        let told = "Spans for the collector, by what became of them";
        let mut family = Family::new(&mut encoder, "tidegate_otlp_spans", told, MetricType::Counter)?;
        family.counter(&[("outcome", "sent")], read(&spans.sent))?;
        family.counter(&[("outcome", "failed")], read(&spans.failed))?;
        family.counter(&[("outcome", "dropped")], read(&spans.dropped))?;
        let told = "Messages of metrics for the collector, by what became of them";
        let mut family = Family::new(&mut encoder, "tidegate_otlp_metric_exports", told, MetricType::Counter)?;
        family.counter(&[("outcome", "sent")], read(&metrics.sent))?;
        family.counter(&[("outcome", "failed")], read(&metrics.failed))
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
