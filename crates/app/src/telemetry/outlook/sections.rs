//! What is shown: trends, anomalies, advice and what was done about it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_perfmon::mask;
use tidegate_perfmon::outlook::{Figure, ToldAnomaly};

use super::OutlookWatch;
use crate::telemetry::board::{Board, Section, Table};

pub(super) fn hang_up(board: &Board, watch: &Arc<OutlookWatch>) {
    board.section(Arc::new(Trends(Arc::clone(watch))));
    board.section(Arc::new(Anomalies(Arc::clone(watch))));
    board.section(Arc::new(Advised(Arc::clone(watch))));
}

/// An item, and when that was: its minutes count from the start of the process.
#[derive(Serialize)]
struct Dated<T> {
    at_unix_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at_unix_ms: Option<u64>,
    #[serde(flatten)]
    item: T,
}

struct Trends(Arc<OutlookWatch>);

impl Section for Trends {
    fn name(&self) -> &'static str {
        "trends"
    }

    fn json(&self, limit: usize) -> Value {
        let shown = self.0.shown();
        let dated = |item| Dated { at_unix_ms: self.0.at_unix_ms(last_minute(item)), ended_at_unix_ms: None, item };
        json!({
            "items": shown.figures.iter().take(limit).map(dated).collect::<Vec<_>>(),
            "refused": shown.refused,
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let row = |figure: &Figure| {
            let trend = figure.trend.as_ref();
            let last = figure.forecast.as_ref().and_then(|forecast| forecast.steps.last());
            vec![
                figure.name.clone(),
                self.0.at_unix_ms(last_minute(figure)).to_string(),
                figure.last.value.to_string(),
                trend.map(|trend| trend.slope.to_string()).unwrap_or_default(),
                last.map(|step| step.ahead.to_string()).unwrap_or_default(),
                last.map(|step| step.mean.to_string()).unwrap_or_default(),
                last.map(|step| step.low.to_string()).unwrap_or_default(),
                last.map(|step| step.high.to_string()).unwrap_or_default(),
            ]
        };
        let columns = &["name", "at_unix_ms", "value", "slope", "ahead", "mean", "low", "high"];
        Some(Table { columns, rows: self.0.shown().figures.iter().take(limit).map(row).collect() })
    }
}

fn last_minute(figure: &Figure) -> u64 {
    figure.last.minute
}

struct Anomalies(Arc<OutlookWatch>);

impl Section for Anomalies {
    fn name(&self) -> &'static str {
        "anomalies"
    }

    fn json(&self, limit: usize) -> Value {
        let dated = |item: ToldAnomaly| Dated {
            at_unix_ms: self.0.at_unix_ms(item.minute),
            ended_at_unix_ms: item.ended.map(|ended| self.0.at_unix_ms(ended)),
            item,
        };
        json!({ "items": self.0.shown().anomalies.iter().take(limit).cloned().map(dated).collect::<Vec<_>>() })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let row = |told: &ToldAnomaly| {
            let anomaly = &told.anomaly;
            vec![
                told.name.clone(),
                self.0.at_unix_ms(told.minute).to_string(),
                told.ended.map(|ended| self.0.at_unix_ms(ended).to_string()).unwrap_or_default(),
                json!(anomaly.side).as_str().unwrap_or_default().to_owned(),
                anomaly.value.to_string(),
                anomaly.usual.to_string(),
                anomaly.deviations.to_string(),
                anomaly.limit.to_string(),
                anomaly.minutes.to_string(),
                anomaly.samples.to_string(),
            ]
        };
        let columns = &[
            "name",
            "at_unix_ms",
            "ended_at_unix_ms",
            "side",
            "value",
            "usual",
            "deviations",
            "limit",
            "minutes",
            "samples",
        ];
        Some(Table { columns, rows: self.0.shown().anomalies.iter().take(limit).map(row).collect() })
    }
}

struct Advised(Arc<OutlookWatch>);

impl Section for Advised {
    fn name(&self) -> &'static str {
        "advice"
    }

    fn json(&self, limit: usize) -> Value {
        let (shown, actions) = (self.0.shown(), self.0.actions());
        json!({
            "items": shown.advice.iter().take(limit).collect::<Vec<_>>(),
            "actions": {
                "enabled": actions.is_enabled(),
                "actuators": actions.actuators().map(|actuator| json!({
                    "name": actuator.name(),
                    "now": actuator.now(),
                    "least": actuator.bounds().start(),
                    "most": actuator.bounds().end(),
                })).collect::<Vec<_>>(),
                "journal": actions.journal().take(limit).map(|entry| Dated {
                    at_unix_ms: self.0.at_unix_ms(entry.minute),
                    ended_at_unix_ms: None,
                    item: entry,
                }).collect::<Vec<_>>(),
            },
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let shown = self.0.shown();
        let rows = shown.advice.iter().take(limit).map(|advice| {
            vec![
                advice.id.to_owned(),
                mask(&advice.target).into_owned(),
                format!("{:.2}", advice.confidence),
                mask(&advice.text).into_owned(),
                advice.gain.clone(),
                advice.disproved_by.to_owned(),
            ]
        });
        let columns = &["id", "target", "confidence", "text", "gain", "disproved_by"];
        Some(Table { columns, rows: rows.collect() })
    }
}
