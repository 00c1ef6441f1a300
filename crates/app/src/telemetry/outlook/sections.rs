//! What is shown: trends, anomalies, advice and what was done about it.

use std::sync::Arc;

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

struct Trends(Arc<OutlookWatch>);

impl Section for Trends {
    fn name(&self) -> &'static str {
        "trends"
    }

    fn json(&self, limit: usize) -> Value {
        let state = self.0.state();
        json!({ "items": state.figures.iter().take(limit).collect::<Vec<_>>(), "refused": state.outlook.refused() })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let row = |figure: &Figure| {
            let trend = figure.trend.as_ref();
            let last = figure.forecast.as_ref().and_then(|forecast| forecast.steps.last());
            vec![
                figure.name.clone(),
                figure.last.minute.to_string(),
                figure.last.value.to_string(),
                trend.map(|trend| trend.slope.to_string()).unwrap_or_default(),
                last.map(|step| step.mean.to_string()).unwrap_or_default(),
                last.map(|step| step.low.to_string()).unwrap_or_default(),
                last.map(|step| step.high.to_string()).unwrap_or_default(),
            ]
        };
        let columns = &["figure", "minute", "value", "slope_a_minute", "in_an_hour", "at_least", "at_most"];
        Some(Table { columns, rows: self.0.state().figures.iter().take(limit).map(row).collect() })
    }
}

struct Anomalies(Arc<OutlookWatch>);

impl Section for Anomalies {
    fn name(&self) -> &'static str {
        "anomalies"
    }

    fn json(&self, limit: usize) -> Value {
        json!({ "items": self.0.state().outlook.anomalies().take(limit).collect::<Vec<_>>() })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let row = |told: &ToldAnomaly| {
            vec![
                told.name.clone(),
                told.minute.to_string(),
                told.ended.map(|ended| ended.to_string()).unwrap_or_default(),
                told.anomaly.value.to_string(),
                told.anomaly.usual.to_string(),
            ]
        };
        let columns = &["figure", "minute", "ended", "value", "usual"];
        Some(Table { columns, rows: self.0.state().outlook.anomalies().take(limit).map(row).collect() })
    }
}

struct Advised(Arc<OutlookWatch>);

impl Section for Advised {
    fn name(&self) -> &'static str {
        "advice"
    }

    fn json(&self, limit: usize) -> Value {
        let state = self.0.state();
        json!({
            "items": state.advice.iter().take(limit).collect::<Vec<_>>(),
            "actions": {
                "enabled": state.actions.is_enabled(),
                "actuators": state.actions.actuators().map(|actuator| json!({
                    "name": actuator.name(),
                    "now": actuator.now(),
                    "least": actuator.bounds().start(),
                    "most": actuator.bounds().end(),
                })).collect::<Vec<_>>(),
                "journal": state.actions.journal().take(limit).collect::<Vec<_>>(),
            },
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        let state = self.0.state();
        let rows = state.advice.iter().take(limit).map(|advice| {
            vec![
                advice.id.to_owned(),
                mask(&advice.target).into_owned(),
                format!("{:.2}", advice.confidence),
                mask(&advice.text).into_owned(),
                advice.gain.clone(),
                advice.disproved_by.to_owned(),
            ]
        });
        let columns = &["id", "target", "confidence", "advice", "gain", "disproved_by"];
        Some(Table { columns, rows: rows.collect() })
    }
}
