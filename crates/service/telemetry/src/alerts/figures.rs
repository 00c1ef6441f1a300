//! Metrics of health and alerts, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Health, OutboxCounts, Severity};

use super::dispatcher::AlertDispatcher;
use crate::exposition::Family;

const STATES: [Health; 4] = [Health::Healthy, Health::Degraded, Health::Unhealthy, Health::Unknown];

/// Health and alerts at one moment.
#[derive(Debug)]
pub(crate) struct AlertFigures {
    /// Current health. `Unknown` if there is no report.
    health: (Health, Option<u8>),
    /// Age of the last report.
    age: Duration,
    /// Number of firing alerts of each rule.
    firing: BTreeMap<(String, Severity), u64>,
    /// Number of deliveries by channel and outcome.
    deliveries: Vec<(&'static str, &'static str, u64)>,
}

impl AlertDispatcher {
    pub(crate) fn figures(&self) -> AlertFigures {
        let state = self.state();
        let rules = state.alerts.rules().iter();
        let mut firing: BTreeMap<_, _> = rules.map(|rule| ((rule.id.to_string(), rule.severity), 0)).collect();
        for alert in state.alerts.firing() {
            *firing.entry((alert.rule.clone(), alert.severity)).or_default() += 1;
        }
        let (health, age) = (self.latest.told(), self.latest.age());
        AlertFigures { health, age, firing, deliveries: self.deliveries(state.logged) }
    }

    /// Returns the numbers of deliveries by channel and outcome.
    pub(in crate::alerts) fn deliveries(&self, logged: u64) -> Vec<(&'static str, &'static str, u64)> {
        let mut all = vec![("log", "delivered", logged)];
        let (delivered, dropped) = self.stream.counts();
        all.extend([("stream", "delivered", delivered), ("stream", "dropped", dropped)]);
        for receiver in self.receivers() {
            let (way, OutboxCounts { delivered, failed, given_up, dropped, .. }) = (receiver.way(), receiver.counts());
            let outcomes = [("delivered", delivered), ("failed", failed), ("given_up", given_up), ("dropped", dropped)];
            all.extend(outcomes.map(|(outcome, count)| (way, outcome, count)));
        }
        all
    }
}

impl Collector for AlertFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let told = "Health score from 0 to 100; no sample if it is unknown";
        let mut family = Family::new(&mut encoder, "tidegate_health_score", told, MetricType::Gauge)?;
        if let (_, Some(score)) = self.health {
            family.gauge(&[], u64::from(score))?;
        }
        let mut family =
            Family::new(&mut encoder, "tidegate_health_status", "1 for the current state", MetricType::Gauge)?;
        for state in STATES {
            family.gauge(&[("health", state.name())], u64::from(self.health.0 == state))?;
        }
        let told = "Age of the last health evaluation; health is evaluated each second, and unknown after 5 seconds";
        let mut family = Family::new(&mut encoder, "tidegate_verdict_age_seconds", told, MetricType::Gauge)?;
        family.fraction(&[], self.age.as_secs_f64())?;
        let told = "Firing alerts, including silenced ones";
        let mut family = Family::new(&mut encoder, "tidegate_alerts_firing", told, MetricType::Gauge)?;
        for ((rule, severity), count) in &self.firing {
            family.gauge(&[("rule", rule), ("severity", severity.name())], *count)?;
        }
        let told = "Alert notifications by channel and outcome";
        let mut family = Family::new(&mut encoder, "tidegate_alert_deliveries", told, MetricType::Counter)?;
        let mut deliveries = self.deliveries.iter();
        deliveries.try_for_each(|(way, outcome, count)| family.counter(&[("way", way), ("outcome", outcome)], *count))
    }
}
