//! Makes silences last for their requested time, even if the clock is set.
//!
//! Silences are stored with a date. If the clock were set back by a day, they would last a day
//! longer. If it were set forward, they would all end.
//! end them all.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_perfmon::{Alerts, Silence, SilenceError};

/// Maximum deviation of a clock in milliseconds that does not count as setting it.
const SET: u64 = 2_000;

/// Age in milliseconds at which an ended silence is removed from the database, whichever process
/// made it and whatever its clock was.
const PAST: u64 = 24 * 3_600_000;

/// The remaining time of each silence, measured with a monotonic clock.
#[derive(Debug, Default)]
pub(super) struct SilenceTimers {
    held: Vec<RunningSilence>,
    /// The silences of the database that this process has applied, with their ends in the database.
    shared: BTreeMap<(String, Option<String>), u64>,
}

#[derive(Debug)]
struct RunningSilence {
    silence: Silence,
    left: Duration,
    /// `None` until the first second after it was made.
    until: Option<Duration>,
}

impl RunningSilence {
    fn is(&self, rule: &str, subject: Option<&str>) -> bool {
        self.silence.rule == rule && self.silence.subject.as_deref() == subject
    }
}

impl SilenceTimers {
    /// Adds a silence that was made at `unix_ms`. Replaces one with the same rule and subject.
    pub(super) fn add(&mut self, silence: &Silence, unix_ms: u64) {
        self.lift(&silence.rule, silence.subject.as_deref());
        let left = Duration::from_millis(silence.until_unix_ms.saturating_sub(unix_ms));
        self.held.push(RunningSilence { silence: silence.clone(), left, until: None });
    }

    pub(super) fn lift(&mut self, rule: &str, subject: Option<&str>) {
        self.held.retain(|held| !held.is(rule, subject));
    }

    /// Records that an added silence is now in the database.
    pub(super) fn share(&mut self, silence: &Silence) {
        self.shared.insert((silence.rule.clone(), silence.subject.clone()), silence.until_unix_ms);
    }

    /// Applies the silences of the database: adds new ones, and lifts those that were lifted by
    /// another process. Returns the expired ones, which should be removed from the database.
    pub(super) fn adopt(&mut self, alerts: &mut Alerts, found: Vec<Silence>, unix_ms: u64) -> Vec<Silence> {
        let (mut over, mut shared) = (Vec::new(), BTreeMap::new());
        for silence in found {
            let key = (silence.rule.clone(), silence.subject.clone());
            if self.shared.get(&key) == Some(&silence.until_unix_ms) {
                shared.insert(key, silence.until_unix_ms);
                if !self.held.iter().any(|held| held.is(&silence.rule, silence.subject.as_deref())) {
                    over.push(silence);
                }
                continue;
            }
            match alerts.silence(silence.clone(), unix_ms) {
                Ok(()) => {
                    self.add(&silence, unix_ms);
                    shared.insert(key, silence.until_unix_ms);
                }
                Err(SilenceError::Past { until_unix_ms, .. }) if until_unix_ms.saturating_add(PAST) < unix_ms => {
                    over.push(silence);
                }
                // The rule belongs to another version, or a clock is wrong: other processes keep
                // it.
                Err(_) => {}
            }
        }
        for (rule, subject) in std::mem::replace(&mut self.shared, shared).into_keys() {
            if !self.shared.contains_key(&(rule.clone(), subject.clone())) {
                self.lift(&rule, subject.as_deref());
                alerts.lift_silence(&rule, subject.as_deref());
            }
        }
        over
    }

    /// Ends expired silences, and adjusts the date of the others if the clock was set.
    pub(super) fn turn(&mut self, alerts: &mut Alerts, now: Duration, unix_ms: u64) {
        self.held.retain_mut(|held| {
            let until = *held.until.get_or_insert(now + held.left);
            let Silence { rule, subject, until_unix_ms, .. } = &mut held.silence;
            if until <= now {
                alerts.lift_silence(rule, subject.as_deref());
                return false;
            }
            let ends = unix_ms.saturating_add(u64::try_from((until - now).as_millis()).unwrap_or(u64::MAX));
            if ends.abs_diff(*until_unix_ms) > SET {
                *until_unix_ms = ends;
                // It was accepted before, and covers no more now.
                let _ = alerts.silence(held.silence.clone(), unix_ms);
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::{AlertRule, Severity};

    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    fn silence(subject: Option<&str>, until_unix_ms: u64) -> Silence {
        let [rule, reason] = ["r", "work"].map(str::to_owned);
        Silence { rule, subject: subject.map(str::to_owned), until_unix_ms, reason }
    }

    #[test]
    fn silences_of_other_processes_are_taken_in_and_lifted() {
        let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Warning)], 10).unwrap();
        let mut steady = SilenceTimers::default();
        let (whole, one) = (silence(None, DAY + 60_000), silence(Some("a"), DAY + 60_000));
        let unknown = Silence { rule: "x".to_owned(), ..whole.clone() };
        let found = vec![whole.clone(), one.clone(), unknown];
        assert!(steady.adopt(&mut alerts, found.clone(), DAY).is_empty());
        assert_eq!(alerts.silences(DAY), [whole.clone(), one.clone()]);
        assert!(steady.adopt(&mut alerts, found, DAY).is_empty(), "nothing changes");
        // One is replaced, the other lifted.
        let longer = silence(None, DAY + 120_000);
        assert!(steady.adopt(&mut alerts, vec![longer.clone()], DAY).is_empty());
        assert_eq!(alerts.silences(DAY), [longer]);
        assert!(steady.adopt(&mut alerts, Vec::new(), DAY).is_empty());
        assert!(alerts.silences(DAY).is_empty() && steady.held.is_empty());
    }

    #[test]
    fn a_silence_that_is_over_is_removed_and_not_taken_in_again() {
        let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Warning)], 10).unwrap();
        let mut steady = SilenceTimers::default();
        let made = silence(None, 3 * DAY + 60_000);
        steady.adopt(&mut alerts, vec![made.clone()], 3 * DAY);
        steady.turn(&mut alerts, Duration::from_secs(0), 3 * DAY);
        // The clock is set back by a day, and a minute passes.
        steady.turn(&mut alerts, Duration::from_secs(60), 2 * DAY + 60_000);
        assert_eq!(steady.adopt(&mut alerts, vec![made.clone()], 2 * DAY + 60_000), std::slice::from_ref(&made));
        assert!(alerts.silences(2 * DAY + 60_000).is_empty());
        let mut other = SilenceTimers::default();
        assert!(other.adopt(&mut alerts, vec![made.clone()], 3 * DAY + 120_000).is_empty(), "clocks differ a little");
        assert_eq!(other.adopt(&mut alerts, vec![made.clone()], 5 * DAY), [made]);
    }

    #[test]
    fn a_silence_lasts_as_requested_even_if_the_clock_changes() {
        for set_to in [3 * DAY, DAY - 10_000, 10 * DAY] {
            let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Warning)], 10).unwrap();
            let mut steady = SilenceTimers::default();
            let made = 3 * DAY;
            let silence = Silence {
                rule: "r".to_owned(),
                subject: None,
                until_unix_ms: made + 60_000,
                reason: "work".to_owned(),
            };
            alerts.silence(silence.clone(), made).unwrap();
            steady.add(&silence, made);
            for second in 0..60 {
                // The clock is set after a second.
                let unix_ms = if second == 0 { made } else { set_to } + second * 1_000;
                steady.turn(&mut alerts, Duration::from_secs(100 + second), unix_ms);
                assert_eq!(alerts.silences(unix_ms).len(), 1, "second {second} at {unix_ms}");
            }
            let unix_ms = set_to + 60_000;
            steady.turn(&mut alerts, Duration::from_secs(160), unix_ms);
            assert!(alerts.silences(unix_ms).is_empty() && steady.held.is_empty(), "at {unix_ms}");
        }
    }
}
