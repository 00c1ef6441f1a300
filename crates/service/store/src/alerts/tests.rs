//! Tests of shared alerts, on both databases.

use std::time::Duration;

use tidegate_perfmon::{Alert, AlertRule, Alerts, Observation, Severity, Silence};
use tidegate_testkit::poll_until;

use tidegate_base::identity::Identity;

use super::values::text;
use super::*;
use crate::Store;
use crate::ground::Ground;
use crate::sql::alerts::PUT_STATE;
use crate::value::Value;

fn alert(rule: &str, subject: &str) -> Alert {
    let rule = AlertRule::new(rule.to_owned(), Severity::Critical).hold(Duration::ZERO);
    let id = rule.id.clone();
    let seen = [Observation::new(id, Some(true), f64::NAN, 0.5).subject(subject.to_owned())];
    let mut alerts = Alerts::new(vec![rule], 10).unwrap();
    let mut alert = alerts.evaluate(Duration::ZERO, 1, &seen).pop().unwrap().alert;
    // NaN is not equal to itself.
    (alert.value, alert.peak) = (1.0, 1.0);
    alert
}

fn process(instance: &str) -> Identity {
    let [service, version, host] = ["tidegate-api", "1.0.0", "node-1"].map(str::to_owned);
    Identity { service, version, instance: instance.to_owned(), host }
}

fn report(instance: &str, rule: &str, beat: i64) -> AlertReport {
    AlertReport { source: process(instance), alert: alert(rule, "s\0"), is_firing: true, is_direct: false, beat }
}

pub(crate) async fn a_silence_is_kept_replaced_and_lifted(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    let silence = |subject: Option<&str>, until_unix_ms| Silence {
        rule: "p99".to_owned(),
        subject: subject.map(str::to_owned),
        until_unix_ms,
        reason: "a test".to_owned(),
    };
    let (whole, empty, one) = (silence(None, 1_000), silence(Some(""), 2_000), silence(Some("a"), 3_000));
    for silence in [&silence(None, 500), &whole, &empty, &one] {
        store.put_alert_silence(silence).await.unwrap();
    }
    assert_eq!(store.alert_silences().await.unwrap(), [empty.clone(), one.clone(), whole.clone()]);
    assert!(store.lift_alert_silence("p99", Some("a")).await.unwrap());
    assert!(!store.lift_alert_silence("p99", Some("a")).await.unwrap());
    store.end_alert_silence(&silence(None, 500)).await.unwrap();
    assert_eq!(store.alert_silences().await.unwrap(), [empty.clone(), whole.clone()], "that one was made anew");
    store.end_alert_silence(&whole).await.unwrap();
    assert_eq!(store.alert_silences().await.unwrap(), [empty]);
}

pub(crate) async fn reports_are_each_processs_own(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    let (one, other) = (report("a", "p99", 1), report("b", "p99", 1));
    let put = async |process, beat, changed, removed| {
        let change = ReportChange { beat, is_anew: false, changed, removed };
        store.put_alert_reports(process, &change).await.unwrap()
    };
    assert_eq!(put("a", 1, vec![one.clone()], vec![]).await, 1);
    assert_eq!(put("b", 1, vec![other.clone()], vec![]).await, 1);
    assert_eq!(reports(&store).await, [one.clone(), other.clone()]);
    assert_eq!(put("a", 2, vec![], vec![]).await, 1);
    let moved = AlertReport { beat: 2, ..one };
    assert_eq!(reports(&store).await, [moved, other.clone()], "it lives");
    assert_eq!(put("a", 3, vec![], vec![("p99".to_owned(), "s\0".to_owned())]).await, 0);
    assert_eq!(reports(&store).await, [other]);
}

pub(crate) async fn lost_reports_are_noticed_and_written_anew(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    let [p99, health, error_rate] = ["p99", "health", "error_rate"].map(|rule| report("a", rule, 1));
    let change = |beat, is_anew, changed| ReportChange { beat, is_anew, changed, removed: vec![] };
    let first = change(1, false, vec![p99, health]);
    assert_eq!(store.put_alert_reports("a", &first).await.unwrap(), 2);
    let refresh = change(2, false, vec![]);
    assert_eq!(store.put_alert_reports("b", &refresh).await.unwrap(), 0, "that process has none");
    let anew = change(3, true, vec![AlertReport { beat: 3, ..error_rate }]);
    assert_eq!(store.put_alert_reports("a", &anew).await.unwrap(), 1);
    assert_eq!(reports(&store).await, anew.changed);
}

pub(crate) async fn an_unreadable_alert_is_named_and_can_be_removed(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    let values = [text("p99"), text("a"), Value::from(1_i64), text("{}"), text("{}")];
    store.write_once(&PUT_STATE, &values).await.unwrap();
    let (states, unreadable) = store.alert_states().await.unwrap();
    assert_eq!((states, &unreadable), (vec![], &vec![("p99".to_owned(), "a".to_owned())]));
    let seen = store.alert_sender().await.unwrap();
    assert!(store.claim_alert_sender("a", "A", seen.turn).await.unwrap());
    let seen = store.alert_sender().await.unwrap();
    let remove = unreadable.into_iter().map(|(rule, subject)| StateChange::Remove { rule, subject });
    assert!(store.record_alerts("a", &seen, &remove.collect::<Vec<_>>(), &[]).await.unwrap());
    assert_eq!(store.alert_states().await.unwrap(), (vec![], vec![]));
}

pub(crate) async fn the_reports_that_were_written_last_are_read_first(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    for process in ["a", "b", "a"] {
        let change = ReportChange { beat: 1, changed: vec![report(process, "p99", 1)], ..ReportChange::default() };
        // Times are in milliseconds, so both may have written in the same one.
        let is_first = poll_until(Duration::from_secs(10), async || {
            store.put_alert_reports(process, &change).await.unwrap();
            let first = store.alert_reports().await.unwrap().remove(0);
            (first.source.instance == process).then_some(())
        });
        is_first.await.expect("it is the newest");
    }
}

pub(crate) async fn reports_of_a_dead_process_are_removed_unless_it_writes_again(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    for process in ["a", "b"] {
        let change = ReportChange { beat: 7, changed: vec![report(process, "p99", 7)], ..ReportChange::default() };
        store.put_alert_reports(process, &change).await.unwrap();
    }
    store.remove_dead_alert_reports("a", 6).await.unwrap();
    assert_eq!(reports(&store).await, [report("a", "p99", 7), report("b", "p99", 7)]);
    store.remove_dead_alert_reports("a", 7).await.unwrap();
    assert_eq!(reports(&store).await, [report("b", "p99", 7)]);
}

/// Returns the reports of all processes, ordered by process and rule.
async fn reports(store: &Store) -> Vec<AlertReport> {
    let mut reports = store.alert_reports().await.unwrap();
    reports.sort_by_key(|report| (report.source.instance.clone(), report.alert.rule.clone()));
    reports
}

pub(crate) async fn of_processes_that_want_to_send_one_does(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    let seen = store.alert_sender().await.unwrap();
    assert_eq!((seen.holder.as_str(), seen.notices), ("", 0));
    assert!(store.claim_alert_sender("a", "A", seen.turn).await.unwrap());
    assert!(!store.claim_alert_sender("b", "B", seen.turn).await.unwrap(), "the row has moved");
    let seen = store.alert_sender().await.unwrap();
    assert_eq!((seen.holder.as_str(), seen.name.as_str()), ("a", "A"));

    let state = AlertState { source: process("a"), alert: alert("p99", ""), is_told: true };
    let (put, notices) = ([StateChange::Put(Box::new(state.clone()))], [(1, "{}".to_owned()), (2, "{}".to_owned())]);
    assert!(store.record_alerts("a", &seen, &put, &notices).await.unwrap());
    let after = store.alert_sender().await.unwrap();
    assert_eq!(after.notices, 2);
    assert!(!store.record_alerts("a", &seen, &[], &[]).await.unwrap(), "of that turn it was done");
    assert!(store.claim_alert_sender("b", "B", after.turn).await.unwrap());
    let late = AlertSender { turn: after.turn + 1, ..after };
    let remove = [StateChange::Remove { rule: "p99".to_owned(), subject: String::new() }];
    assert!(!store.record_alerts("a", &late, &remove, &[(3, "{}".to_owned())]).await.unwrap(), "it is b's now");
    assert_eq!(store.alert_states().await.unwrap(), (vec![state], vec![]));
    assert_eq!(store.alert_notices_behind(0).await.unwrap(), notices);
    assert!(store.record_alerts("b", &late, &remove, &[(300, "{}".to_owned())]).await.unwrap());
    assert_eq!(store.alert_states().await.unwrap(), (vec![], vec![]));
    assert_eq!(store.alert_notices_behind(0).await.unwrap(), [(300, "{}".to_owned())], "the old ones are gone");
}

pub(crate) async fn a_receiver_never_goes_back(ground: &Ground) {
    let (store, _) = ground.place().await.open().await;
    assert_eq!(store.alert_settled("slack").await.unwrap(), None);
    for number in [5, 3] {
        store.settle_alerts("slack", number).await.unwrap();
        assert_eq!(store.alert_settled("slack").await.unwrap(), Some(5));
    }
}
