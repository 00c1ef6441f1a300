//! What `/metrics` shows, sent to the collector again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Signal};
use super::families::{self, Span};
use super::resource;
use super::spans::Outlet;
use crate::telemetry::Telemetry;

/// Sends at once, then every `period`, and once more when `stop` fires: what was counted last is wanted too.
pub(super) async fn send(
    telemetry: Arc<Telemetry>,
    collector: Arc<Collector>,
    outlet: Arc<Outlet>,
    period: Duration,
    stop: CancellationToken,
) {
    let since = unix_nanos();
    let mut beat = interval(period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let resource = ResourceAttributesWithSchema::from(&resource::of_this_process());
    let mut is_last = false;
    while !is_last {
        is_last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = beat.tick() => false,
        };
        let posted = post(&telemetry, &collector, &resource, since);
        // A collector that hangs must not hold up the end.
        let is_taken = tokio::select! {
            is_taken = posted => is_taken,
            () = stop.cancelled(), if !is_last => continue,
        };
        let counter = if is_taken { &outlet.metrics.sent } else { &outlet.metrics.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the collector took all of it.
async fn post(
    telemetry: &Telemetry,
    collector: &Collector,
    resource: &ResourceAttributesWithSchema,
    since: u64,
) -> bool {
    // The log says by itself when the job store can't be read.
    let Ok(text) = telemetry.exposition().await else { return false };
    let metrics = families::read(&text, Span { since, now: unix_nanos() });
    let scope = InstrumentationScope { name: "tidegate".to_owned(), ..InstrumentationScope::default() };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource.attributes.0.clone(), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    };
    let Ok(answer) = collector.send(Signal::Metrics, request.encode_to_vec()).await else { return false };
    let answer = ExportMetricsServiceResponse::decode(&*answer).unwrap_or_default();
    answer.partial_success.is_none_or(|partial| partial.rejected_data_points == 0)
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
