//! The fleet as one process sees it, for `/api/performance` and the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_perfmon::{Alert, Phase, Severity};
use tidegate_store::{AlertReport, AlertSender, AlertState};
use tokio::time::Instant;

use super::merge::first;

/// Age above which a read counts as outdated: three intervals of a process that does not send.
const CURRENT_FOR: Duration = Duration::from_secs(15);

/// The fleet at the last read.
#[derive(Debug, Default)]
pub(in crate::alerts) struct View {
    /// Firing alerts of all processes, the most severe first.
    firing: Vec<FleetAlert>,
    /// Name of the process that sends. `None` if there is none.
    pub(in crate::alerts) sender: Option<String>,
    /// Whether this process sends.
    pub(in crate::alerts) is_sender: bool,
    pub(in crate::alerts) read_at: Option<Instant>,
}

/// An alert of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::alerts) struct FleetAlert {
    rule: String,
    subject: String,
    severity: Severity,
    phase: Phase,
    pending_at_unix_ms: u64,
    fired_at_unix_ms: Option<u64>,
    value: f64,
    threshold: f64,
    detail: String,
    trace_id: Option<String>,
    /// Whether a silence covers it at the moment.
    silenced: bool,
    /// Whether receivers were notified. `None` if the database, which has this information, is
    /// unreachable.
    notified: Option<bool>,
    /// Names of the processes that report it.
    processes: Vec<String>,
}

impl FleetAlert {
    fn new(alert: Alert, notified: Option<bool>, processes: Vec<String>) -> Self {
        Self {
            rule: alert.rule,
            subject: alert.subject,
            severity: alert.severity,
            phase: alert.phase,
            pending_at_unix_ms: alert.pending_at_unix_ms,
            fired_at_unix_ms: alert.fired_at_unix_ms,
            value: alert.value,
            threshold: alert.threshold,
            detail: alert.detail,
            trace_id: alert.trace_id,
            silenced: false,
            notified,
            processes,
        }
    }
}

impl View {
    /// Makes the view from the reports of running processes.
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
                let is_told = told.contains(&(rule, subject));
                Some(FleetAlert::new(alert, Some(is_told), processes.into_iter().collect()))
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

    /// Whether the last read is recent. If not, the database is unreachable or slow.
    pub(in crate::alerts) fn is_current(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < CURRENT_FOR)
    }

    /// Returns the firing alerts, the most severe first: those of the last read if it is recent,
    /// and those of `own`, the alerts of this process, that were not read yet.
    pub(in crate::alerts) fn firing(
        &self,
        own: Vec<Alert>,
        limit: usize,
        is_silenced: impl Fn(&str, &str) -> bool,
    ) -> Vec<FleetAlert> {
        let is_current = self.is_current();
        let read: &[FleetAlert] = if is_current { &self.firing } else { &[] };
        let known: BTreeSet<_> = read.iter().map(|alert| (alert.rule.as_str(), alert.subject.as_str())).collect();
        let own = own
            .into_iter()
            .filter(|alert| !known.contains(&(alert.rule.as_str(), alert.subject.as_str())))
            .map(|alert| FleetAlert::new(alert, is_current.then_some(false), vec![THIS_PROCESS.name()]));
        let mut firing: Vec<_> = read.iter().cloned().chain(own).collect();
        firing.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
        firing.truncate(limit);
        firing.iter_mut().for_each(|alert| alert.silenced = is_silenced(&alert.rule, &alert.subject));
        firing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::test_alert::{alert, process};

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
        let shown = view.firing(Vec::new(), 10, |rule, _| rule == "health");
        let shown: Vec<_> = shown.iter().map(|alert| (alert.rule.as_str(), alert.notified, alert.silenced)).collect();
        assert_eq!(shown, [("health", Some(false), true), ("p99", Some(true), false)]);
        assert_eq!(view.firing[1].processes, ["tidegate-api a on node-1", "tidegate-api b on node-1"]);
        assert_eq!((view.sender.as_deref(), view.is_sender), (Some("B"), false));
    }

    #[test]
    fn alerts_of_this_process_are_shown_before_they_were_read_and_while_the_database_is_away() {
        let report =
            AlertReport { source: process("a"), alert: alert("p99", ""), is_firing: true, is_direct: false, beat: 1 };
        let sender = AlertSender { holder: String::new(), name: String::new(), turn: 1, notices: 0 };
        let shown = |view: &View| {
            let shown = view.firing(vec![alert("p99", ""), alert("health", "")], 10, |_, _| false);
            let shown = shown.into_iter().map(|alert| (alert.rule, alert.notified, alert.processes.concat()));
            shown.collect::<Vec<_>>()
        };
        let (other, this) = (process("a").name(), THIS_PROCESS.name());
        let view = View::of(&[report], &[], &sender);
        assert!(view.is_current());
        let expected = [("p99".to_owned(), Some(false), other), ("health".to_owned(), Some(false), this.clone())];
        assert_eq!(shown(&view), expected);
        // Never read, for example if the database was unreachable from the start.
        let view = View { read_at: None, ..view };
        assert!(!view.is_current());
        assert_eq!(shown(&view), [("p99".to_owned(), None, this.clone()), ("health".to_owned(), None, this)]);
    }
}
