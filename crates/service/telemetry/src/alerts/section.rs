//! The section of alerts for `/api/performance`.

use serde_json::{Value, json};
use tidegate_base::clock::unix_ms;
use tidegate_base::identity::THIS_PROCESS;

use super::dispatcher::AlertDispatcher;
use super::fleet;
use crate::sources::{Section, Table};

/// The columns of all lists. If an item lacks a member, its cell is empty.
const COLUMNS: &[&str] = &[
    "list",
    "id",
    "rule",
    "subject",
    "severity",
    "metric",
    "phase",
    "pending_at_unix_ms",
    "fired_at_unix_ms",
    "ended_at_unix_ms",
    "known_at_unix_ms",
    "value",
    "peak",
    "threshold",
    "silenced",
    "trace_id",
    "detail",
    "until_unix_ms",
    "reason",
    "hold_ms",
    "keep_ms",
    "expire_ms",
    "factor",
    "long",
    "short",
    "breached",
    "way",
    "outcome",
    "count",
    "notified",
    "processes",
    "waiting",
];
const LISTS: &[&str] =
    &["items", "silences", "rules", "burn_rates", "deliveries", "without_data", "fleet", "receivers"];

impl Section for AlertDispatcher {
    fn name(&self) -> &'static str {
        "alerts"
    }

    fn json(&self, limit: usize) -> Value {
        let (fleet, fleet_is_current, sender) = self.fleet_json(limit);
        let receivers = self.receivers().iter();
        let receivers: Vec<_> =
            receivers.map(|receiver| json!({"way": receiver.way(), "waiting": receiver.waiting()})).collect();
        let webhook = receivers.iter().find(|receiver| receiver["way"] == "webhook");
        let state = self.state();
        let deliveries: Vec<Value> = self
            .deliveries(state.logged)
            .into_iter()
            .map(|(way, outcome, count)| json!({"way": way, "outcome": outcome, "count": count}))
            .collect();
        json!({
            "items": state.alerts.list(limit),
            "silences": state.alerts.silences(unix_ms()).into_iter().take(limit).collect::<Vec<_>>(),
            "rules": state.alerts.rules(),
            "burn_rates": state.burning,
            "deliveries": deliveries,
            "process": THIS_PROCESS.name(),
            "fleet": fleet,
            "fleet_is_current": fleet_is_current,
            "sender": sender,
            "waiting_for_webhook": webhook.map(|webhook| &webhook["waiting"]),
            "receivers": receivers,
            "followers": self.stream.followers(),
            "without_data": self.own.without_data(),
            "without_rule": state.alerts.unruled(),
            "overflowed": state.alerts.overflowed(),
        })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of_lists(COLUMNS, LISTS, &self.json(limit)))
    }
}

impl AlertDispatcher {
    /// Returns the alerts of all processes, whether they are currently known, and the sender.
    fn fleet_json(&self, limit: usize) -> (Value, bool, Value) {
        let Some(fleet) = self.fleet.get() else { return (json!([]), false, Value::Null) };
        let (silences, own) = (self.silences(), self.firing());
        let view = fleet.view();
        let firing = view.firing(own, limit, fleet::is_silenced(&silences));
        let age = view.read_at.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        let sender = json!({"name": view.sender, "is_this_process": view.is_sender, "known_ms_ago": age});
        (json!(firing), view.is_current(), sender)
    }
}
