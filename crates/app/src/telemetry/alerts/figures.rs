//! The part of `/metrics` that is about the verdict and the alerts.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Health, Severity};

use crate::telemetry::exposition::Family;

const STATES: [Health; 4] = [Health::Healthy, Health::Degraded, Health::Unhealthy, Health::Unknown];

/// Verdict and alerts at one moment.
#[derive(Debug)]
pub(in crate::telemetry) struct AlertFigures {
    /// `None` before the first verdict.
    pub(super) health: Option<(Health, Option<u8>)>,
    /// Of each rule, how many fire.
    pub(super) firing: BTreeMap<(String, Severity), u64>,
    /// By way and outcome.
    pub(super) deliveries: Vec<(&'static str, &'static str, u64)>,
}

impl Collector for AlertFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let told = "Health from 0 to 100; nothing where it isn't known";
        let mut family = Family::new(&mut encoder, "tidegate_health_score", told, MetricType::Gauge)?;
        if let Some((_, Some(score))) = self.health {
            family.gauge(&[], u64::from(score))?;
        }
        let mut family =
            Family::new(&mut encoder, "tidegate_health_status", "1 for the state in force", MetricType::Gauge)?;
        for state in STATES.into_iter().filter(|_| self.health.is_some()) {
            let holds = self.health.is_some_and(|(status, _)| status == state);
            family.gauge(&[("health", state.name())], u64::from(holds))?;
        }
        let told = "Alerts that fire, silenced ones among them";
        let mut family = Family::new(&mut encoder, "tidegate_alerts_firing", told, MetricType::Gauge)?;
        for ((rule, severity), count) in &self.firing {
            family.gauge(&[("rule", rule), ("severity", severity.name())], *count)?;
        }
        let told = "What was told of alerts, by the way it took and what became of it";
        let mut family = Family::new(&mut encoder, "tidegate_alert_deliveries", told, MetricType::Counter)?;
        let mut deliveries = self.deliveries.iter();
        deliveries.try_for_each(|(way, outcome, count)| family.counter(&[("way", way), ("outcome", outcome)], *count))
    }
}
