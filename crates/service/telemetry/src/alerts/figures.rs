//! Metrics of health and alerts, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Health, Severity};

use crate::exposition::Family;

const STATES: [Health; 4] = [Health::Healthy, Health::Degraded, Health::Unhealthy, Health::Unknown];

/// Health and alerts at one moment.
#[derive(Debug)]
pub(crate) struct AlertFigures {
    /// Current health. `Unknown` if there is no report.
    pub(super) health: (Health, Option<u8>),
    /// Age of the last report.
    pub(super) age: Duration,
    /// Number of firing alerts of each rule.
    pub(super) firing: BTreeMap<(String, Severity), u64>,
    /// Number of deliveries by channel and outcome.
    pub(super) deliveries: Vec<(&'static str, &'static str, u64)>,
}

impl Collector for AlertFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let told = "Health from 0 to 100; nothing where it isn't known";
        let mut family = Family::new(&mut encoder, "tidegate_health_score", told, MetricType::Gauge)?;
        if let (_, Some(score)) = self.health {
            family.gauge(&[], u64::from(score))?;
        }
        let mut family =
            Family::new(&mut encoder, "tidegate_health_status", "1 for the state in force", MetricType::Gauge)?;
        for state in STATES {
            family.gauge(&[("health", state.name())], u64::from(self.health.0 == state))?;
        }
        let told = "How long ago health was judged; it is each second, and after five nothing is known";
        let mut family = Family::new(&mut encoder, "tidegate_verdict_age_seconds", told, MetricType::Gauge)?;
        family.fraction(&[], self.age.as_secs_f64())?;
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
