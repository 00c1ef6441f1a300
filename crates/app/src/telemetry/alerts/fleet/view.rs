//! The fleet as one process sees it, for `/api/performance` and the dashboard.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidegate_perfmon::Severity;
use tokio::time::Instant;

use super::merge::first;
use crate::identity::THIS_PROCESS;
use crate::store::{AlertReport, AlertSender, AlertState};

/// The fleet at the last read.
#[derive(Debug, Default)]
pub(in crate::telemetry::alerts) struct View {
    /// Alerts that fire in any process, the gravest first.
    firing: Vec<FleetAlert>,
    /// Name of the process that sends; `None` if there is none.
    pub(in crate::telemetry::alerts) sender: Option<String>,
    /// Whether this process sends.
    pub(in crate::telemetry::alerts) is_sender: bool,
    pub(in crate::telemetry::alerts) read_at: Option<Instant>,
}

/// An alert of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::telemetry::alerts) struct FleetAlert {
    rule: String,
    subject: String,
    severity: Severity,
    fired_at_unix_ms: Option<u64>,
    value: f64,
    threshold: f64,
    detail: String,
    trace_id: Option<String>,
    /// Whether a silence covers it when it is shown.
    silenced: bool,
    /// Whether receivers were sent it.
    notified: bool,
    /// The processes that report it, by name.
    processes: Vec<String>,
}

impl View {
    /// Makes the view from the reports of processes that are alive.
    pub(super) fn of(reports: &[AlertReport], states: &[AlertState], sender: &AlertSender) -> Self {
        let mut firing: BTreeMap<(&str, &str), Vec<&AlertReport>> = BTreeMap::new();
        for report in reports.iter().filter(|report| report.is_firing) {
            firing.entry((&report.alert.rule, &report.alert.subject)).or_default().push(report);
        }
        let told = states.iter().filter(|state| state.is_told);
        let told: BTreeSet<_> = told.map(|state| (state.alert.rule.as_str(), state.alert.subject.as_str())).collect();
        let mut firing: Vec<_> = firing
            .into_iter()
            .filter_map(|((rule, subject), reports)| {
                let alert = first(reports.iter().copied())?.alert.clone();
                let processes: BTreeSet<_> = reports.iter().map(|report| report.source.name()).collect();
                Some(FleetAlert {
                    silenced: false,
                    notified: told.contains(&(rule, subject)),
                    processes: processes.into_iter().collect(),
                    rule: alert.rule,
                    subject: alert.subject,
                    severity: alert.severity,
                    fired_at_unix_ms: alert.fired_at_unix_ms,
                    value: alert.value,
                    threshold: alert.threshold,
                    detail: alert.detail,
                    trace_id: alert.trace_id,
                })
            })
            .collect();
        firing.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        Self {
            firing,
            sender: (!sender.holder.is_empty()).then(|| sender.name.clone()),
            is_sender: sender.holder == THIS_PROCESS.instance,
            read_at: Some(Instant::now()),
        }
    }

    /// Returns the alerts that fire, the gravest first.
    pub(in crate::telemetry::alerts) fn firing(
        &self,
        limit: usize,
        is_silenced: impl Fn(&str, &str) -> bool,
    ) -> Vec<FleetAlert> {
        let mut firing: Vec<_> = self.firing.iter().take(limit).cloned().collect();
        firing.iter_mut().for_each(|alert| alert.silenced = is_silenced(&alert.rule, &alert.subject));
        firing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::alerts::test_alert::{alert, process};

    #[test]
    fn each_alert_is_shown_once_with_the_processes_that_report_it() {
        let report = |instance: &str, rule: &str, is_firing| {
            let (source, alert) = (process(instance), alert(rule, ""));
            AlertReport { source, alert, is_firing, is_direct: false, beat: 1 }
        };
        let reports =
            [report("a", "p99", true), report("b", "p99", true), report("b", "health", true), report("a", "x", false)];
        let states = [AlertState { source: process("a"), alert: alert("p99", ""), is_told: true }];
        let sender = AlertSender { holder: "b".to_owned(), name: "B".to_owned(), turn: 1, notices: 1 };
        let view = View::of(&reports, &states, &sender);
        let shown = view.firing(10, |rule, _| rule == "health");
        let shown: Vec<_> = shown.iter().map(|alert| (alert.rule.as_str(), alert.notified, alert.silenced)).collect();
        assert_eq!(shown, [("health", false, true), ("p99", true, false)]);
        assert_eq!(view.firing[1].processes, ["tidegate-api a on node-1", "tidegate-api b on node-1"]);
        assert_eq!((view.sender.as_deref(), view.is_sender), (Some("B"), false));
    }
}
