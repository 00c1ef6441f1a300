//! Number of lost lines of the access log, for `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::Family;

/// Lines that did not fit into the buffer.
#[derive(Debug)]
pub(super) struct Dropped(pub(super) u64);

impl Collector for Dropped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Lines of the access log that were dropped because its buffer was full";
        Family::new(&mut encoder, "tidegate_access_log_dropped", help, MetricType::Counter)?.counter(&[], self.0)
    }
}
