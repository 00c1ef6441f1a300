//! Silences last as long as they were asked to, whatever becomes of the clock.
//!
//! What keeps them goes by the date. A clock that is set back by a day would make them a day longer, one that is set forward
//! end them all.

use std::time::Duration;

use tidegate_perfmon::{Alerts, Silence};

/// A clock that is off by less was not set.
const SET: u64 = 2_000;

/// What is left of each silence, by a clock that nobody sets.
#[derive(Debug, Default)]
pub(super) struct Steady(Vec<Held>);

#[derive(Debug)]
struct Held {
    silence: Silence,
    left: Duration,
    /// `None` until the first second after it was made.
    until: Option<Duration>,
}

impl Steady {
    /// Keeps a silence that was made at `unix_ms`, in the place of one of the same rule and subject.
    pub(super) fn add(&mut self, silence: &Silence, unix_ms: u64) {
        self.lift(&silence.rule, silence.subject.as_deref());
        let left = Duration::from_millis(silence.until_unix_ms.saturating_sub(unix_ms));
        self.0.push(Held { silence: silence.clone(), left, until: None });
    }

    pub(super) fn lift(&mut self, rule: &str, subject: Option<&str>) {
        self.0.retain(|held| held.silence.rule != rule || held.silence.subject.as_deref() != subject);
    }

    /// Ends those whose time is over, and dates the others anew where the clock was set.
    pub(super) fn turn(&mut self, alerts: &mut Alerts, now: Duration, unix_ms: u64) {
        self.0.retain_mut(|held| {
            let until = *held.until.get_or_insert(now + held.left);
            let Silence { rule, subject, until_unix_ms, .. } = &mut held.silence;
            if until <= now {
                alerts.lift_silence(rule, subject.as_deref());
                return false;
            }
            let ends = unix_ms.saturating_add(u64::try_from((until - now).as_millis()).unwrap_or(u64::MAX));
            if ends.abs_diff(*until_unix_ms) > SET {
                *until_unix_ms = ends;
                // It was taken before, and asks for no more now.
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

    #[test]
    fn a_silence_lasts_as_long_as_it_was_asked_to_whatever_becomes_of_the_clock() {
        for set_to in [3 * DAY, DAY - 10_000, 10 * DAY] {
            let mut alerts = Alerts::new(vec![AlertRule::new("r", Severity::Warning)], 10).unwrap();
            let mut steady = Steady::default();
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
            assert!(alerts.silences(unix_ms).is_empty() && steady.0.is_empty(), "at {unix_ms}");
        }
    }
}
