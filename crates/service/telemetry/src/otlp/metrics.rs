//! Sends the content of `/metrics` to the collector periodically.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use tidegate_base::clock;
use tidegate_settings::OtlpSettings;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Signal};
use super::families::{self, Span};
use super::spans::Outlet;
use super::{exemplars, resource};
use crate::Telemetry;

/// Maximum number of slow calls, and of failed calls, that are considered for exemplars.
const CALLS: usize = 100;

/// Sends at once, then every `period`, and once more when `stop` fires, so that the last values are
/// exported.
pub(super) async fn send(
    telemetry: Arc<Telemetry>,
    collector: Arc<Collector>,
    outlet: Arc<Outlet>,
    settings: OtlpSettings,
    stop: CancellationToken,
) {
    let since = unix_nanos();
    let mut beat = interval(settings.interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let resource = ResourceAttributesWithSchema::from(&resource::of(&settings));
    let (mut is_last, mut told_until) = (false, since);
    while !is_last {
        is_last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = beat.tick() => false,
        };
        let now = unix_nanos();
        let posted = post(&telemetry, &collector, &resource, Span { since, now }, told_until);
        // A collector that hangs must not delay the shutdown.
        let is_taken = tokio::select! {
            is_taken = posted => is_taken,
            () = stop.cancelled(), if !is_last => continue,
        };
        let counter = if is_taken { &outlet.metrics.sent } else { &outlet.metrics.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        // Exemplars of a message that was not accepted go with the next one.
        if is_taken {
            told_until = now;
        }
    }
}

/// Sends one message. Returns whether the collector accepted it. Exemplars are calls that ended
/// after `told_until`.
async fn post(
    telemetry: &Telemetry,
    collector: &Collector,
    resource: &ResourceAttributesWithSchema,
    span: Span,
    told_until: u64,
) -> bool {
    let mut metrics = families::read(&telemetry.exposition().await, span);
    let registry = telemetry.registry();
    let told_until = told_until / 1_000_000;
    exemplars::add(&mut metrics, &registry.slow_calls(CALLS), told_until);
    exemplars::add(&mut metrics, &registry.failed_calls(CALLS), told_until);
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
    clock::now().timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}
