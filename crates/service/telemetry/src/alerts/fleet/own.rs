//! The reports of this process on its alerts, and the alerts that it sends directly while the
//! database is unreachable.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_base::identity::{Identity, THIS_PROCESS};
use tidegate_perfmon::Alert;
use tidegate_store::{AlertReport, ReportChange};

/// How often a process with reports shows that it is alive.
const REFRESH: Duration = Duration::from_secs(5);
/// How long the report of an ended alert is kept for the sender.
const ENDS_LAST: Duration = Duration::from_secs(30);
/// Maximum number of alerts that a process reports.
const MOST: usize = 200;
/// Limits the log lines about further alerts to one in ten minutes.
static TOO_MANY: LogThrottle = LogThrottle::new(Duration::from_secs(600));

type Key = (String, String);

/// An alert as it was written.
#[derive(Debug, Clone)]
struct Written {
    alert: Alert,
    is_direct: bool,
    /// `None` while it fires.
    ended_at: Option<Duration>,
}

/// The reports of this process.
#[derive(Debug, Default)]
pub(super) struct OwnReports {
    written: BTreeMap<Key, Written>,
    written_at: Duration,
    beat: i64,
    /// Whether the reports of this process in the database may differ from `written`.
    is_in_doubt: bool,
    /// Alerts that this process has sent directly, until the fleet can send their end.
    direct: BTreeMap<Key, Alert>,
}

pub(super) fn key(alert: &Alert) -> Key {
    (alert.rule.clone(), alert.subject.clone())
}

impl OwnReports {
    /// Compares the alerts of this process with the reports that it has written. Returns `None` if
    /// there is nothing to write now. `ended` returns an alert after its end.
    pub(super) fn plan(
        &self,
        now: Duration,
        firing: &[Alert],
        ended: impl Fn(&Alert) -> Option<Alert>,
    ) -> Option<ReportChange> {
        let is_anew = self.is_in_doubt;
        let mut plan = ReportChange { beat: self.beat + 1, is_anew, ..ReportChange::default() };
        let mut firing = self.to_report(firing);
        for (key, alert) in &self.direct {
            firing.entry(key.clone()).or_insert(alert);
        }
        for (key, alert) in &firing {
            let is_direct = self.direct.contains_key(key);
            let is_known = self.written.get(key).is_some_and(|written| {
                written.ended_at.is_none() && written.alert.id == alert.id && written.is_direct == is_direct
            });
            if is_anew || !is_known {
                plan.changed.push(self.report((*alert).clone(), true, is_direct));
            }
        }
        for (key, written) in self.written.iter().filter(|(key, _)| !firing.contains_key(*key)) {
            match written.ended_at {
                None => match ended(&written.alert) {
                    Some(alert) => plan.changed.push(self.report(alert, false, written.is_direct)),
                    None => plan.removed.push(key.clone()),
                },
                Some(at) if now.saturating_sub(at) >= ENDS_LAST => plan.removed.push(key.clone()),
                Some(_) if is_anew => plan.changed.push(self.report(written.alert.clone(), false, written.is_direct)),
                Some(_) => {}
            }
        }
        let is_due = !self.written.is_empty() && now.saturating_sub(self.written_at) >= REFRESH;
        (is_due || is_anew || !plan.changed.is_empty() || !plan.removed.is_empty()).then_some(plan)
    }

    /// Returns the alerts to report. A reported alert stays until it ends. The remaining slots go
    /// to the most severe of the others.
    fn to_report<'a>(&self, firing: &'a [Alert]) -> BTreeMap<Key, &'a Alert> {
        let is_reported =
            |(key, _): &(Key, &Alert)| self.written.get(key).is_some_and(|written| written.ended_at.is_none());
        let all = firing.iter().map(|alert| (key(alert), alert));
        let (mut reported, others): (Vec<_>, Vec<_>) = all.partition(is_reported);
        let room = MOST.saturating_sub(reported.len());
        if others.len() > room
            && let Some(unlogged) = TOO_MANY.count()
        {
            tracing::warn!(
                unreported = others.len() - room,
                most = MOST,
                unlogged,
                "more alerts fire than a process reports: the others are not sent to receivers"
            );
        }
        reported.extend(others.into_iter().take(room));
        reported.into_iter().collect()
    }

    /// Records that a plan is about to be written. Until there is an answer, the outcome is
    /// unknown.
    pub(super) fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// Records that the plan was written. `reports` is the number of reports of this process in the
    /// database. If it differs from the expected number, the next plan writes all of them.
    pub(super) fn wrote(&mut self, plan: ReportChange, now: Duration, reports: u64) {
        (self.beat, self.written_at) = (plan.beat, now);
        for AlertReport { alert, is_firing, is_direct, .. } in plan.changed {
            let ended_at = (!is_firing).then_some(now);
            self.written.insert(key(&alert), Written { alert, is_direct, ended_at });
        }
        for key in plan.removed {
            self.written.remove(&key);
        }
        self.is_in_doubt = reports != self.written.len() as u64;
    }

    /// Returns the removal of the reports that the fleet does not need after this process has
    /// ended.
    pub(super) fn farewell(&self, is_needed: impl Fn(&Key) -> bool) -> Option<ReportChange> {
        let removed: Vec<_> = self.written.keys().filter(|key| !is_needed(key)).cloned().collect();
        let change = ReportChange { beat: self.beat + 1, removed, ..ReportChange::default() };
        (!change.removed.is_empty()).then_some(change)
    }

    /// Returns the alerts whose start this process sends directly while the database is
    /// unreachable: unsilenced ones that the fleet has not sent, as far as `is_shared` knows.
    ///
    /// The fleet sends their ends, since another process may still report the alert. Until the
    /// fleet knows of it, this process reports it as firing.
    pub(super) fn direct(&mut self, is_away: bool, firing: &[Alert], is_shared: impl Fn(&Key) -> bool) -> Vec<Alert> {
        let alive: BTreeMap<Key, &Alert> = firing.iter().map(|alert| (key(alert), alert)).collect();
        self.direct.retain(|key, alert| match alive.get(key) {
            Some(alive) => {
                alert.clone_from(alive);
                true
            }
            None => is_away || !is_shared(key),
        });
        if !is_away {
            return Vec::new();
        }
        let is_to_send = |alert: &&Alert| {
            let key = key(alert);
            let was_reported = self.written.get(&key).is_some_and(|written| written.alert.id == alert.id);
            let is_sent = self.direct.contains_key(&key) || was_reported && is_shared(&key);
            !(alert.silenced || is_sent)
        };
        let room = MOST.saturating_sub(self.direct.len());
        let sent: Vec<_> = firing.iter().filter(is_to_send).take(room).cloned().collect();
        self.direct.extend(sent.iter().map(|alert| (key(alert), alert.clone())));
        sent
    }

    fn report(&self, alert: Alert, is_firing: bool, is_direct: bool) -> AlertReport {
        let source: Identity = THIS_PROCESS.clone();
        AlertReport { source, alert, is_firing, is_direct, beat: self.beat + 1 }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::Phase;

    use super::*;
    use crate::alerts::test_alert::alert;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn resolved(alert: &Alert) -> Option<Alert> {
        let mut alert = alert.clone();
        alert.phase = Phase::Resolved;
        Some(alert)
    }

    #[test]
    fn an_alert_is_written_when_it_fires_refreshed_and_written_again_when_it_ends() {
        let mut own = OwnReports::default();
        assert!(own.plan(at(0), &[], resolved).is_none(), "a process without alerts writes nothing");
        let firing = [alert("p99", "")];
        let plan = own.plan(at(1), &firing, resolved).unwrap();
        assert!(plan.changed.len() == 1 && plan.changed[0].is_firing);
        own.wrote(plan, at(1), 1);
        assert!(own.plan(at(5), &firing, resolved).is_none());
        let plan = own.plan(at(6), &firing, resolved).unwrap();
        assert!(plan.changed.is_empty() && plan.beat == 2, "it shows that it lives");
        own.wrote(plan, at(6), 1);
        let plan = own.plan(at(7), &[], resolved).unwrap();
        assert!(!plan.changed[0].is_firing && plan.changed[0].alert.phase == Phase::Resolved);
        own.wrote(plan, at(7), 1);
        assert!(own.plan(at(11), &[], resolved).is_none());
        let plan = own.plan(at(37), &[], resolved).unwrap();
        assert_eq!(plan.removed.len(), 1);
        own.wrote(plan, at(37), 0);
        assert!(own.plan(at(100), &[], resolved).is_none());
    }

    #[test]
    fn reports_that_the_database_lost_are_written_again_with_the_ends() {
        let mut own = OwnReports::default();
        let both = [alert("p99", ""), alert("health", "")];
        own.wrote(own.plan(at(0), &both, resolved).unwrap(), at(0), 2);
        own.wrote(own.plan(at(1), &both[..1], resolved).unwrap(), at(1), 2);
        assert!(own.plan(at(2), &both[..1], resolved).is_none());
        own.wrote(own.plan(at(6), &both[..1], resolved).unwrap(), at(6), 1);
        let plan = own.plan(at(7), &both[..1], resolved).unwrap();
        let firing: Vec<_> = plan.changed.iter().map(|report| (&*report.alert.rule, report.is_firing)).collect();
        assert_eq!((plan.is_anew, firing), (true, vec![("p99", true), ("health", false)]));
        own.wrote(plan, at(7), 2);
        assert!(own.plan(at(8), &both[..1], resolved).is_none(), "once");
    }

    #[test]
    fn a_report_without_an_answer_is_written_anew_or_removed() {
        let mut own = OwnReports::default();
        assert!(own.plan(at(0), &[alert("p99", "")], resolved).is_some());
        own.doubt();
        let plan = own.plan(at(1), &[], resolved).expect("the row may be there");
        assert!(plan.is_anew && plan.changed.is_empty());
        own.wrote(plan, at(1), 0);
        assert!(own.plan(at(2), &[], resolved).is_none());
    }

    #[test]
    fn a_process_that_ends_leaves_the_reports_of_alerts_that_the_fleet_was_sent() {
        let mut own = OwnReports::default();
        assert!(own.farewell(|_| false).is_none());
        own.wrote(own.plan(at(0), &[alert("p99", ""), alert("health", "")], resolved).unwrap(), at(0), 2);
        let change = own.farewell(|key| key.0 == "p99").unwrap();
        assert_eq!(change.removed, [("health".to_owned(), String::new())]);
        assert!(own.farewell(|_| true).is_none());
    }

    #[test]
    fn of_too_many_alerts_none_that_was_reported_gives_way_to_a_graver_one() {
        let mut own = OwnReports::default();
        let all: Vec<_> = (0..=MOST).map(|number| alert("tenant_anomaly", &number.to_string())).collect();
        let (first, gravest_first) = (&all[1..], &all[..]);
        own.wrote(own.plan(at(0), first, resolved).unwrap(), at(0), MOST as u64);
        assert!(own.plan(at(1), gravest_first, resolved).is_none());
        let plan = own.plan(at(2), &all[..MOST], resolved).unwrap();
        let changed: Vec<_> = plan.changed.iter().map(|report| (&*report.alert.subject, report.is_firing)).collect();
        assert_eq!(changed, [("0", true), ("200", false)], "one that ends leaves its place");
    }

    #[test]
    fn without_the_database_a_process_sends_the_beginning_of_what_the_fleet_has_not_sent() {
        let mut own = OwnReports::default();
        let mut silenced = alert("aborted", "");
        silenced.silenced = true;
        let firing = [alert("p99", ""), alert("health", ""), silenced];
        own.wrote(own.plan(at(0), &firing[..1], resolved).unwrap(), at(0), 1);
        let is_shared = |key: &Key| key.0 == "p99";
        assert_eq!(own.direct(false, &firing, is_shared), [], "the fleet sends");
        assert_eq!(own.direct(true, &firing, is_shared), [firing[1].clone()]);
        assert_eq!(own.direct(true, &firing, is_shared), [], "once");
        let plan = own.plan(at(1), &firing[..2], resolved).unwrap();
        assert!(plan.changed.len() == 1 && plan.changed[0].is_direct, "the fleet hears that it was sent: {plan:?}");
    }

    #[test]
    fn what_a_process_has_sent_on_its_own_fires_on_until_the_fleet_can_send_its_end() {
        let mut own = OwnReports::default();
        let firing = [alert("p99", "")];
        assert_eq!(own.direct(true, &firing, |_| false), firing);
        assert_eq!(own.direct(true, &[], |_| false), [], "another process may report it");
        assert_eq!(own.direct(true, &firing, |_| false), [], "its incident is still open");
        own.direct(true, &[], |_| false);
        let plan = own.plan(at(9), &[], resolved).unwrap();
        assert!(plan.changed.len() == 1 && plan.changed[0].is_firing && plan.changed[0].is_direct, "{plan:?}");
        own.wrote(plan, at(9), 1);
        own.direct(false, &[], |_| false);
        assert!(own.plan(at(10), &[], resolved).is_none(), "the fleet does not know of it yet");
        own.direct(false, &[], |_| true);
        let plan = own.plan(at(11), &[], resolved).unwrap();
        assert!(plan.changed.len() == 1 && !plan.changed[0].is_firing, "{plan:?}");
        assert_eq!(plan.changed[0].alert.phase, Phase::Resolved);
    }
}
