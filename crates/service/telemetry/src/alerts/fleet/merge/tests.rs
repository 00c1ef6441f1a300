use super::*;
use crate::alerts::test_alert::{alert, process};

const NOW: u64 = 1_700_000_100_000;

fn report(instance: &str, rule: &str) -> AlertReport {
    AlertReport { source: process(instance), alert: alert(rule, ""), is_firing: true, is_direct: false, beat: 1 }
}

fn ended(instance: &str, rule: &str, ended_at: u64) -> AlertReport {
    let mut alert = alert(rule, "");
    (alert.phase, alert.ended_at_unix_ms, alert.value) = (Phase::Resolved, Some(ended_at), 0.1);
    AlertReport { alert, is_firing: false, ..report(instance, rule) }
}

fn state(rule: &str, is_told: bool) -> AlertState {
    AlertState { source: process("a"), alert: alert(rule, ""), is_told }
}

fn merged(reports: &[AlertReport], states: &[AlertState], silenced: &str) -> Vec<Merged> {
    merged_of(reports, &["a", "b", "c"], states, silenced)
}

fn merged_of(reports: &[AlertReport], proven: &[&str], states: &[AlertState], silenced: &str) -> Vec<Merged> {
    let proven = proven.iter().map(|process| (*process).to_owned()).collect();
    let living = LiveReports { reports: reports.to_vec(), proven, ..LiveReports::default() };
    merge(&living, states, |rule, _| rule == silenced, NOW)
}

/// Returns the phases before and after each step that is sent.
fn sent(merged: &[Merged]) -> Vec<(Phase, Phase)> {
    merged.iter().filter_map(|merged| merged.step.as_ref().map(|step| (step.from, step.alert.phase))).collect()
}

#[test]
fn an_alert_of_several_processes_is_one_of_the_first_process() {
    let mut first = report("b", "p99");
    first.alert.fired_at_unix_ms = first.alert.fired_at_unix_ms.map(|at| at - 1);
    let merged = merged(&[report("a", "p99"), first, report("c", "p99")], &[], "");
    assert_eq!(sent(&merged), [(Phase::Pending, Phase::Firing)]);
    let StateChange::Put(state) = &merged[0].change else { panic!("{merged:?}") };
    assert_eq!((state.source.instance.as_str(), state.is_told), ("b", true));
}

#[test]
fn a_notice_is_sent_once_whichever_process_reports_it() {
    for reports in
        [vec![report("a", "p99")], vec![report("b", "p99")], vec![report("b", "p99"), ended("a", "p99", NOW)]]
    {
        assert_eq!(merged(&reports, &[state("p99", true)], ""), []);
    }
}

#[test]
fn an_alert_ends_when_no_process_reports_it_and_keeps_its_last_state() {
    let reports = [ended("a", "p99", NOW - 2_000), ended("b", "p99", NOW - 1_000)];
    let merged = merged(&reports, &[state("p99", true)], "");
    assert_eq!(sent(&merged), [(Phase::Firing, Phase::Resolved)]);
    let alert = &merged[0].step.as_ref().unwrap().alert;
    assert_eq!((alert.value, alert.ended_at_unix_ms), (0.1, Some(NOW - 1_000)));
    assert_eq!(merged[0].change, StateChange::Remove { rule: "p99".to_owned(), subject: String::new() });
}

#[test]
fn an_alert_of_processes_that_are_gone_expires() {
    let merged = merged(&[], &[state("p99", true)], "");
    assert_eq!(sent(&merged), [(Phase::Firing, Phase::Expired)]);
    assert_eq!(merged[0].step.as_ref().unwrap().alert.ended_at_unix_ms, Some(NOW));
}

#[test]
fn a_process_that_may_be_dead_keeps_an_alert_and_begins_none() {
    let reports = [report("a", "p99")];
    assert_eq!(merged_of(&reports, &[], &[], ""), []);
    assert_eq!(merged_of(&reports, &[], &[state("p99", true)], ""), []);
    assert_eq!(merged_of(&reports, &[], &[state("p99", false)], ""), [], "its silence is over");
    let both = [report("a", "p99"), report("b", "p99")];
    let merged = merged_of(&both, &["b"], &[], "");
    assert_eq!(sent(&merged), [(Phase::Pending, Phase::Firing)]);
    assert_eq!(merged[0].step.as_ref().unwrap().source, process("b"));
}

#[test]
fn a_silenced_alert_is_sent_when_its_silence_is_over_and_never_if_it_ends_before() {
    let reports = [report("a", "p99")];
    let silenced = merged(&reports, &[], "p99");
    assert_eq!(sent(&silenced), []);
    let StateChange::Put(state) = &silenced[0].change else { panic!("{silenced:?}") };
    assert!(!state.is_told && state.alert.silenced);
    let states = [(**state).clone()];
    assert_eq!(merged(&reports, &states, "p99"), [], "as long as it lasts nothing changes");
    assert_eq!(sent(&merged(&reports, &states, "")), [(Phase::Firing, Phase::Firing)]);
    let over = merged(&[ended("a", "p99", NOW)], &states, "p99");
    assert!(over.len() == 1 && sent(&over).is_empty(), "{over:?}");
}

#[test]
fn the_end_of_what_was_sent_is_sent_though_it_is_silenced() {
    let merged = merged(&[], &[state("p99", true)], "p99");
    assert_eq!(sent(&merged), [(Phase::Firing, Phase::Expired)]);
}

#[test]
fn what_a_process_has_sent_on_its_own_is_not_sent_again_and_its_end_is() {
    let reports = [AlertReport { is_direct: true, ..report("a", "p99") }, report("b", "p99")];
    let begun = merged(&reports, &[], "");
    assert_eq!(sent(&begun), []);
    let StateChange::Put(state) = &begun[0].change else { panic!("{begun:?}") };
    assert!(state.is_told);
    assert_eq!(sent(&merged(&[], std::slice::from_ref(state), "")), [(Phase::Firing, Phase::Expired)]);
}
