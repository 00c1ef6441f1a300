//! What the recorder counts beside answered requests: waits, what is under way, operations, and what all this costs.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Bridge, InFlight, OperationTotals, Overhead, Registry, Totals};

use super::Family;
use crate::telemetry::board::Board;

/// Hangs up the figures of that recorder, and what the bridge to other libraries could not take.
pub(in crate::telemetry) fn hang_up(board: &Board, registry: &Registry, bridge: &Bridge) {
    let (registry, bridge) = (registry.clone(), bridge.clone());
    board.figures(move || Box::new(RecorderFigures::of(&registry, &bridge)));
}

#[derive(Debug)]
struct RecorderFigures {
    wait: Totals,
    /// Every endpoint there is.
    endpoints: Vec<(&'static str, String)>,
    in_flight: Vec<InFlight>,
    operations: Vec<OperationTotals>,
    /// By what had no room for a series of its own.
    dropped: [(&'static str, u64); 3],
    /// By what was handed them.
    rejected: [(&'static str, u64); 2],
    refused: u64,
    overhead: Overhead,
}

impl RecorderFigures {
    fn of(registry: &Registry, bridge: &Bridge) -> Self {
        Self {
            wait: registry.http_wait_totals(),
            endpoints: registry.totals().into_iter().map(|endpoint| (endpoint.method, endpoint.route)).collect(),
            in_flight: registry.in_flight(),
            operations: registry.operation_totals(),
            dropped: [
                ("endpoints", registry.dropped_endpoints()),
                ("operations", registry.dropped_operations()),
                ("metrics", bridge.dropped()),
            ],
            rejected: [("operations", registry.rejected()), ("metrics", bridge.rejected())],
            refused: bridge.refused(),
            overhead: registry.overhead(),
        }
    }

    fn under_way(&self, method: &str, route: &str) -> u64 {
        let found = self.in_flight.iter().find(|endpoint| endpoint.method == method && endpoint.route == route);
        found.map_or(0, |endpoint| endpoint.count as u64)
    }
}

impl Collector for RecorderFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let help = "Time from the first byte of a request until it was looked at; part of its duration";
        Family::new(encoder, "tidegate_http_wait_seconds", help, MetricType::Histogram)?.histogram(&[], &self.wait)?;

        let mut family =
            Family::new(encoder, "tidegate_http_in_flight", "Requests begun and not answered", MetricType::Gauge)?;
        for (method, route) in &self.endpoints {
            family.gauge(&[("method", method), ("route", route)], self.under_way(method, route))?;
        }

        let help = "Time of operations that ended, failed ones included";
        let name = "tidegate_operation_duration_seconds";
        let mut family = Family::new(encoder, name, help, MetricType::Histogram)?;
        for operation in &self.operations {
            family.histogram(&labels(operation), &operation.latency)?;
        }
        let help = "Operations without a result: `failed` with an error or a panic, `aborted` ones were given up";
        let mut family = Family::new(encoder, "tidegate_operation_failures", help, MetricType::Counter)?;
        for operation in &self.operations {
            let [kind, name] = labels(operation);
            family.counter(&[kind, name, ("class", "failed")], operation.failed + operation.panicked)?;
            family.counter(&[kind, name, ("class", "aborted")], operation.cancelled)?;
        }

        let help =
            "Look-ups without room for a series of their own: those of `metrics` count nowhere, others in `__other__`";
        let mut family = Family::new(encoder, "tidegate_perfmon_dropped_series", help, MetricType::Counter)?;
        for (what, count) in self.dropped {
            family.counter(&[("what", what)], count)?;
        }
        let help = "Figures that were none: not a number, infinite, or negative where that can't be";
        let mut family = Family::new(encoder, "tidegate_perfmon_rejected", help, MetricType::Counter)?;
        for (what, count) in self.rejected {
            family.counter(&[("what", what)], count)?;
        }
        let help = "Look-ups of `metrics` by a name that is ours, or is one of another kind";
        let mut family = Family::new(encoder, "tidegate_perfmon_refused_names", help, MetricType::Counter)?;
        family.counter(&[], self.refused)?;
        let help = "Time of filing a second's figures into their windows";
        Family::new(encoder, "tidegate_perfmon_tick_seconds", help, MetricType::Histogram)?
            .snapshot(&[], &self.overhead.tick)?;
        let help = "Time of recording a request, one in about 1,024 timed";
        Family::new(encoder, "tidegate_perfmon_record_seconds", help, MetricType::Histogram)?
            .snapshot(&[], &self.overhead.record)?;
        let help = "Memory of all endpoints and operations with their windows";
        Family::new(encoder, "tidegate_perfmon_memory_bytes", help, MetricType::Gauge)?
            .single(self.overhead.bytes as u64)
    }
}

fn labels(operation: &OperationTotals) -> [(&'static str, &str); 2] {
    [("kind", operation.kind.name()), ("operation", &operation.operation)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use tidegate_perfmon::Kind;

    use super::*;

    #[tokio::test]
    async fn operations_are_told_by_how_they_ended() {
        let registry = Registry::builder().cap(2).build();
        let list = registry.operation_handle(Kind::Database, "schedules.list");
        list.record(Duration::from_millis(2));
        list.record(Duration::from_secs(60));
        list.record_secs(f64::NAN);
        drop(tokio::time::timeout(Duration::ZERO, list.measure(std::future::pending::<()>())).await);
        let failing = tokio::spawn(list.measure(async { panic!("as it is told to") }));
        assert!(failing.await.is_err());
        for name in ["b", "c", "d"] {
            registry.operation_handle(Kind::Cache, name).record(Duration::ZERO);
        }
        registry.tick(registry.now());

        let mut all = prometheus_client::registry::Registry::default();
        all.register_collector(Box::new(RecorderFigures::of(&registry, &Bridge::new())));
        let mut text = String::new();
        encode(&mut text, &all).unwrap();
        let labels = "kind=\"database\",operation=\"schedules.list\"";
        for line in [
            format!("tidegate_operation_duration_seconds_count{{{labels}}} 3\n"),
            format!("tidegate_operation_duration_seconds_bucket{{le=\"10.0\",{labels}}} 2\n"),
            format!("tidegate_operation_failures_total{{{labels},class=\"failed\"}} 1\n"),
            format!("tidegate_operation_failures_total{{{labels},class=\"aborted\"}} 1\n"),
            format!("tidegate_perfmon_dropped_series_total{{what=\"operations\"}} {}\n", registry.dropped_operations()),
            "tidegate_perfmon_dropped_series_total{what=\"endpoints\"} 0\n".to_owned(),
            "tidegate_perfmon_rejected_total{what=\"operations\"} 1\n".to_owned(),
            "tidegate_perfmon_tick_seconds_count{} 1\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(registry.dropped_operations() > 0);
    }
}
