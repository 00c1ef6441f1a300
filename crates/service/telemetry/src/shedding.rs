//! Number of shed requests, for `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::Family;

/// Requests that were refused.
#[derive(Debug)]
pub(super) struct Shed(pub(super) u64);

impl Collector for Shed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests answered 503 at once because too many were in progress";
        Family::new(&mut encoder, "tidegate_http_shed", help, MetricType::Counter)?.counter(&[], self.0)
    }
}
