//! Announces the news of a minute in the log and in the event stream.

use serde_json::{Value, json};
use tidegate_perfmon::action::{Entry, Outcome};
use tidegate_perfmon::advice::Advice;
use tidegate_perfmon::mask;

use super::limits::InMinutes;
use super::minute_report::{LimitForecast, MinuteReport};
use super::sections::told_of_advice;
use super::watch::OutlookWatch;
use crate::alerts::{AlertDispatcher, Topic};

impl OutlookWatch {
    /// Announces all news, first in the log.
    pub(super) fn tell(&self, news: &MinuteReport, dispatcher: &AlertDispatcher) {
        for told in &news.anomalies {
            let item = self.told_of_anomaly(told);
            let (side, value, usual) = (&told.anomaly.side, told.anomaly.value, told.anomaly.usual);
            tracing::warn!(figure = %told.name, ?side, value, usual, "a metric has an anomaly");
            dispatcher.announce(Topic::Outlook, "anomaly", &item);
        }
        for near in &news.near {
            let LimitForecast { name, value, limit, reach } = near;
            let InMinutes { expected, latest, .. } = reach;
            let latest = latest.unwrap_or(*expected);
            tracing::warn!(figure = %name, value, limit, expected, latest, "a metric is forecast to reach its limit; `expected` and `latest` are minutes");
            let item = json!({"name": name, "value": value, "limit": limit, "reach": reach});
            dispatcher.announce(Topic::Outlook, "forecast", &item);
        }
        for advice in &news.advice {
            let Advice { id, confidence, .. } = advice;
            let (target, text) = (mask(&advice.target), mask(&advice.text));
            tracing::info!(advice = id, %target, confidence, "{text}");
            dispatcher.announce(Topic::Advice, "advice", &told_of_advice(advice));
        }
        for entry in &news.done {
            self.tell_of(entry, dispatcher);
        }
    }

    /// Announces a change or its outcome.
    pub(super) fn tell_of(&self, entry: &Entry, dispatcher: &AlertDispatcher) {
        log(entry);
        let item: Value = self.told_of_change(entry);
        dispatcher.announce(Topic::Advice, "change", &item);
    }
}

/// Logs a change or its outcome.
pub(super) fn log(entry: &Entry) {
    let Entry { id, actuator, from, to, advice, .. } = entry;
    match &entry.outcome {
        Outcome::OnTrial => tracing::info!(id, actuator, from, to, advice, "changed on advice, and on trial"),
        Outcome::Kept => tracing::info!(id, actuator, from, to, advice, "the change is kept"),
        Outcome::Reverted { reason, .. } => {
            tracing::info!(id, actuator, from, to, advice, reason = %mask(reason), "the change was taken back");
        }
        Outcome::Refused { reason } | Outcome::Left { reason } => {
            tracing::warn!(id, actuator, from, to, advice, reason = %mask(reason), "the change could not be made, or unmade");
        }
        _ => tracing::info!(id, actuator, from, to, advice, "a change"),
    }
}
