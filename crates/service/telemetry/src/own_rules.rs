//! An operator's rules on metrics: reads `/metrics` like a scraper, and evaluates each series.

mod series;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_base::similar::most_like;
use tidegate_model::alert_rules::{OwnRule, sentence};
use tidegate_perfmon::Observation;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::exposition::Sample;
use series::AllSeries;

/// Interval of the readings.
const PERIOD: Duration = Duration::from_secs(10);
/// Age above which a reading counts as missing.
const STALE: Duration = Duration::from_secs(60);

/// The rules and their last readings.
#[derive(Debug)]
pub(super) struct OwnRules {
    rules: Vec<OwnRule>,
    state: Mutex<Vec<Reading>>,
}

/// The last reading of a rule.
#[derive(Debug, Default)]
struct Reading {
    series: AllSeries,
    read_at: Option<Instant>,
    /// Whether the log has named the rule, which happens once.
    is_reported: bool,
}

impl OwnRules {
    pub(super) fn new(rules: &[OwnRule]) -> Self {
        let state = rules.iter().map(|_| Reading::default()).collect();
        Self { rules: rules.to_vec(), state: Mutex::new(state) }
    }

    /// Whether there are no rules.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Reads the text of `/metrics` periodically until `shutdown`.
    pub(super) async fn run(self: Arc<Self>, text: impl AsyncFn() -> String, shutdown: CancellationToken) {
        let mut interval = interval_at(Instant::now() + PERIOD, PERIOD);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
            self.take(&text().await, Instant::now());
        }
    }

    /// Processes the text of `/metrics`.
    pub(super) fn take(&self, text: &str, now: Instant) {
        let samples: Vec<_> = text.lines().filter_map(Sample::read).collect();
        for (rule, reading) in self.rules.iter().zip(&mut *self.state()) {
            let source = &rule.source;
            let covered = samples.iter().filter(|sample| source.covers(sample.name, &sample.labels));
            let has_room = reading.series.take(covered, source.within, now);
            reading.read_at = Some(now);
            let is_unknown = reading.series.is_empty() && !is_known(text, &source.metric);
            if (is_unknown || !has_room) && !std::mem::replace(&mut reading.is_reported, true) {
                report(rule, &samples, is_unknown);
            }
        }
    }

    /// Returns one observation for each series of each rule.
    pub(super) fn observations(&self, now: Instant) -> Vec<Observation<'static>> {
        let state = self.state();
        let is_fresh = |read_at: Instant| now.saturating_duration_since(read_at) < STALE;
        let fresh = self.rules.iter().zip(&*state).filter(|(_, reading)| reading.read_at.is_some_and(is_fresh));
        fresh.flat_map(|(rule, reading)| reading.observations(rule)).collect()
    }

    /// Returns the rules whose metric had no series at the last reading.
    pub(super) fn without_data(&self) -> Vec<Value> {
        let state = self.state();
        let read = self.rules.iter().zip(&*state).filter(|(_, reading)| reading.read_at.is_some());
        let empty = read.filter(|(_, reading)| reading.series.is_empty());
        empty.map(|(rule, _)| json!({"rule": rule.name, "metric": rule.source.metric})).collect()
    }

    fn state(&self) -> MutexGuard<'_, Vec<Reading>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn observations(&self, rule: &OwnRule) -> Vec<Observation<'static>> {
        let observe = |(subject, value)| observe(rule, subject, value);
        match rule.source.within {
            Some(_) => self.series.increases().map(observe).collect(),
            None => self.series.values().map(observe).collect(),
        }
    }
}

fn observe(rule: &OwnRule, subject: &str, value: f64) -> Observation<'static> {
    let is_breached = rule.is_breached_by(value);
    let what = if subject.is_empty() { rule.source.to_string() } else { format!("{} ({subject})", rule.source) };
    let detail = sentence(&what, rule.unit(), (value, rule.threshold), rule.is_below, is_breached, rule.hold);
    let observation = Observation::new(rule.name.clone(), is_breached, value, rule.threshold);
    observation.subject(subject.to_owned()).detail(detail)
}

/// Whether the text contains the metric's family, with or without series.
fn is_known(text: &str, metric: &str) -> bool {
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    families.into_iter().any(|(family, kind)| {
        metric.strip_prefix(family).is_some_and(|end| match kind {
            "counter" => end == "_total",
            "histogram" => ["_bucket", "_sum", "_count"].contains(&end),
            _ => end.is_empty(),
        })
    })
}

fn report(rule: &OwnRule, samples: &[Sample<'_>], is_unknown: bool) {
    let (name, metric, most) = (&rule.name, &rule.source.metric, series::MOST);
    if !is_unknown {
        tracing::warn!(rule = name, metric, "more than {most} series match the alert rule; narrow it by labels");
        return;
    }
    let known: BTreeSet<_> = samples.iter().map(|sample| sample.name).collect();
    let nearest = most_like(metric, known.into_iter());
    tracing::warn!(
        rule = name,
        metric,
        nearest,
        "the alert rule reads a metric that this process does not export; see /metrics"
    );
}

#[cfg(test)]
mod tests;
