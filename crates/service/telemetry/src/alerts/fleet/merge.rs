//! Merges the reports of processes into the notices for the fleet's receivers.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_base::identity::Identity;
use tidegate_perfmon::{Alert, Phase};
use tidegate_store::{AlertReport, AlertState, StateChange};

use super::sightings::LiveReports;

/// Rule and subject.
type Key<'a> = (&'a str, &'a str);

/// A change to the firing alerts of the fleet, and its notice.
#[derive(Debug, PartialEq)]
pub(super) struct Merged {
    pub(super) change: StateChange,
    pub(super) step: Option<Step>,
}

/// A step that receivers are notified of.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    pub(super) from: Phase,
    pub(super) alert: Alert,
    pub(super) source: Identity,
}

/// Compares the reports of running processes with the recorded state. An alert fires for the fleet
/// while at least one process reports it. It starts with a process that is certainly running. Its
/// start is sent unless it is silenced; then it is sent when the silence is over. It is not sent if
/// a process has sent it directly. Its end is sent if its start was.
pub(super) fn merge(
    living: &LiveReports,
    states: &[AlertState],
    is_silenced: impl Fn(&str, &str) -> bool,
    unix_ms: u64,
) -> Vec<Merged> {
    let mut firing: BTreeMap<Key<'_>, Vec<&AlertReport>> = BTreeMap::new();
    let mut ended: BTreeMap<Key<'_>, &AlertReport> = BTreeMap::new();
    for report in &living.reports {
        if report.is_firing {
            firing.entry(key(&report.alert)).or_default().push(report);
        } else {
            let latest = ended.entry(key(&report.alert)).or_insert(report);
            if latest.alert.ended_at_unix_ms < report.alert.ended_at_unix_ms {
                *latest = report;
            }
        }
    }
    let mut states: BTreeMap<Key<'_>, &AlertState> = states.iter().map(|state| (key(&state.alert), state)).collect();
    let mut merged = Vec::new();
    for ((rule, subject), reports) in firing {
        let state = states.remove(&(rule, subject));
        merged.extend(begin(&reports, &living.proven, state, is_silenced(rule, subject)));
    }
    let ends = states.into_iter().map(|(key, state)| end(state, ended.get(&key).map(|report| &report.alert), unix_ms));
    merged.extend(ends);
    merged
}

fn key(alert: &Alert) -> Key<'_> {
    (&alert.rule, &alert.subject)
}

/// Returns the report of the process that reported it first.
pub(super) fn first<'a>(reports: impl Iterator<Item = &'a AlertReport>) -> Option<&'a AlertReport> {
    reports.min_by_key(|report| (report.alert.fired_at_unix_ms, &report.source.instance))
}

fn begin(
    reports: &[&AlertReport],
    proven: &BTreeSet<String>,
    state: Option<&AlertState>,
    is_silenced: bool,
) -> Option<Merged> {
    let is_direct = reports.iter().any(|report| report.is_direct);
    let is_told = is_direct || !is_silenced;
    if state.is_some_and(|state| state.is_told || !is_told) {
        return None;
    }
    let reports = reports.iter().copied().filter(|report| proven.contains(&report.source.instance));
    let AlertReport { source, alert, .. } = first(reports)?;
    let mut alert = alert.clone();
    alert.silenced = is_silenced;
    let from = if state.is_some() { Phase::Firing } else { Phase::Pending };
    let step = (is_told && !is_direct).then(|| Step { from, alert: alert.clone(), source: source.clone() });
    let state = AlertState { source: source.clone(), alert, is_told };
    Some(Merged { change: StateChange::Put(Box::new(state)), step })
}

fn end(state: &AlertState, ended: Option<&Alert>, unix_ms: u64) -> Merged {
    let mut alert = ended.unwrap_or(&state.alert).clone();
    alert.fired_at_unix_ms = state.alert.fired_at_unix_ms;
    if ended.is_none() {
        // Every process that reported it is gone.
        (alert.phase, alert.ended_at_unix_ms) = (Phase::Expired, Some(unix_ms));
    }
    let change = StateChange::Remove { rule: state.alert.rule.clone(), subject: state.alert.subject.clone() };
    let step = state.is_told.then(|| Step { from: Phase::Firing, alert, source: state.source.clone() });
    Merged { change, step }
}

#[cfg(test)]
mod tests;
