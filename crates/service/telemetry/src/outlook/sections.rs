//! Sections for trends, anomalies, advice and changes. Texts are masked here.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_perfmon::advice::Advice;
use tidegate_perfmon::mask;
use tidegate_perfmon::outlook::ToldAnomaly;

use super::watch::{Forecast, OutlookWatch};
use crate::sources::{Section, Sources, Table};

pub(super) fn register(sources: &Sources, watch: &Arc<OutlookWatch>) {
    sources.section(Arc::new(Trends(Arc::clone(watch))));
    sources.section(Arc::new(Anomalies(Arc::clone(watch))));
    sources.section(Arc::new(Advised(Arc::clone(watch))));
}

struct Trends(Arc<OutlookWatch>);

pub(super) const TRENDS: &[&str] = &[
    "name",
    "at_unix_ms",
    "value",
    "trend.slope_per_minute",
    "trend.low_per_minute",
    "trend.high_per_minute",
    "trend.p_value",
    "trend.points",
    "trend.minutes",
    "forecast.points",
    "forecast.cover",
    "forecast.last.ahead_minutes",
    "forecast.last.mean",
    "forecast.last.low",
    "forecast.last.high",
    "limit",
    "reach.expected_minutes",
    "reach.earliest_minutes",
    "reach.latest_minutes",
];

impl Section for Trends {
    fn name(&self) -> &'static str {
        "trends"
    }

    fn json(&self, limit: usize) -> Value {
        let shown = self.0.shown();
        json!({
            "items": shown.figures.iter().take(limit).map(|known| self.0.told_of(known)).collect::<Vec<_>>(),
            "refused": shown.refused,
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of(TRENDS, &self.json(limit)["items"]))
    }
}

struct Anomalies(Arc<OutlookWatch>);

pub(super) const ANOMALIES: &[&str] =
    &["name", "at_unix_ms", "ended_at_unix_ms", "side", "value", "usual", "deviations", "limit", "minutes", "samples"];

impl Section for Anomalies {
    fn name(&self) -> &'static str {
        "anomalies"
    }

    fn json(&self, limit: usize) -> Value {
        let shown = self.0.shown();
        let told: Vec<_> = shown.anomalies.iter().take(limit).map(|anomaly| self.0.told_of_anomaly(anomaly)).collect();
        json!({ "items": told })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of(ANOMALIES, &self.json(limit)["items"]))
    }
}

struct Advised(Arc<OutlookWatch>);

/// The columns of all lists. If an item lacks a member, its cell is empty.
pub(super) const ADVICE: &[&str] = &[
    "list",
    "id",
    "target",
    "confidence",
    "text",
    "evidence",
    "gain",
    "disproved_by",
    "action.actuator",
    "action.factor",
    "action.symptom.of",
    "action.symptom.name",
    "at_unix_ms",
    "actuator",
    "from",
    "to",
    "advice",
    "symptom.of",
    "symptom.name",
    "outcome.state",
    "outcome.reason",
    "outcome.at_unix_ms",
    "name",
    "now",
    "least",
    "most",
];

impl Section for Advised {
    fn name(&self) -> &'static str {
        "advice"
    }

    fn json(&self, limit: usize) -> Value {
        let (shown, actions) = (self.0.shown(), self.0.actions());
        json!({
            "items": shown.advice.iter().take(limit).map(told_of_advice).collect::<Vec<_>>(),
            "actions": {
                "enabled": actions.is_enabled(),
                "actuators": actions.actuators().map(|actuator| json!({
                    "name": actuator.name(),
                    "now": actuator.now(),
                    "least": actuator.bounds().start(),
                    "most": actuator.bounds().end(),
                })).collect::<Vec<_>>(),
                "journal": actions.journal().take(limit).map(|entry| self.0.told_of_change(entry)).collect::<Vec<_>>(),
            },
        })
    }

    /// Returns advice, the changes made on it, and the adjustable values.
    fn table(&self, limit: usize) -> Option<Table> {
        let mut told = self.json(limit);
        let lists = ["journal", "actuators"].map(|list| (list, told["actions"][list].take()));
        for (list, items) in lists {
            told[list] = items;
        }
        Some(Table::of_lists(ADVICE, &["items", "journal", "actuators"], &told))
    }
}

impl OutlookWatch {
    fn told_of(&self, known: &Forecast) -> Value {
        let Forecast { figure, limit, reach } = known;
        json!({
            "name": figure.name,
            "at_unix_ms": self.at_unix_ms(figure.last.minute),
            "value": figure.last.value,
            "trend": figure.trend.as_ref().map(|trend| json!({
                "slope_per_minute": trend.slope,
                "low_per_minute": trend.low,
                "high_per_minute": trend.high,
                "p_value": trend.p_value,
                "points": trend.points,
                "minutes": trend.minutes,
            })),
            "forecast": figure.forecast.as_ref().map(|forecast| {
                let step = |step: &tidegate_perfmon::outlook::Step| json!({
                    "ahead_minutes": step.ahead,
                    "mean": step.mean,
                    "low": step.low,
                    "high": step.high,
                });
                json!({
                    "points": forecast.points,
                    "cover": forecast.cover,
                    "last": forecast.steps.last().map(step),
                    "steps": forecast.steps.iter().map(step).collect::<Vec<_>>(),
                })
            }),
            "limit": limit.map(|limit| limit.value),
            "reach": reach,
        })
    }

    pub(super) fn told_of_anomaly(&self, told: &ToldAnomaly) -> Value {
        let mut item = json!(told);
        item["at_unix_ms"] = self.at_unix_ms(told.minute).into();
        item["ended_at_unix_ms"] = told.ended.map(|ended| self.at_unix_ms(ended)).into();
        // Minutes since the start have no meaning outside the process.
        without(item, &["minute", "ended"])
    }

    /// Returns a change with times instead of minutes. An outcome without a time or reason has null
    /// there.
    pub(super) fn told_of_change(&self, entry: impl Serialize) -> Value {
        let mut item = masked(json!(entry));
        item["at_unix_ms"] = item["minute"].as_u64().map(|minute| self.at_unix_ms(minute)).into();
        let at = item["outcome"]["minute"].as_u64().map(|minute| self.at_unix_ms(minute));
        item["outcome"]["at_unix_ms"] = at.into();
        if item["outcome"]["reason"].is_null() {
            item["outcome"]["reason"] = Value::Null;
        }
        item["outcome"] = without(item["outcome"].take(), &["minute"]);
        without(item, &["minute"])
    }
}

pub(super) fn told_of_advice(advice: &Advice) -> Value {
    masked(json!(advice))
}

fn without(mut item: Value, names: &[&str]) -> Value {
    if let Some(members) = item.as_object_mut() {
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
    item
}

/// Returns the value with every text masked.
fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => mask(&text).into(),
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, masked(value))).collect(),
        other => other,
    }
}
