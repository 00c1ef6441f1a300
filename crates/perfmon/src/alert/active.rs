//! An alert that is pending or firing.

use std::time::Duration;

use super::observation::Observation;
use super::record::{Alert, Phase};
use super::rule::AlertRule;

/// Bytes that are kept of a detail.
const LONGEST_DETAIL: usize = 1024;

#[derive(Debug)]
pub(super) struct Active {
    pub(super) alert: Alert,
    /// Whether its firing was notified.
    pub(super) told: bool,
    /// The last known state; time counts only between two equal states.
    last: Option<bool>,
    breached_for: Duration,
    clear_for: Duration,
    unknown_for: Duration,
}

impl Active {
    pub(super) fn begin(id: u64, rule: &AlertRule, subject: String, seen: &Observation<'_>, unix_ms: u64) -> Self {
        let mut active = Self {
            alert: Alert {
                id,
                rule: rule.id.clone().into_owned(),
                subject,
                severity: rule.severity,
                phase: Phase::Pending,
                pending_at_unix_ms: unix_ms,
                fired_at_unix_ms: None,
                ended_at_unix_ms: None,
                known_at_unix_ms: unix_ms,
                value: seen.value,
                peak: seen.value,
                threshold: seen.threshold,
                detail: String::new(),
                trace_id: None,
                silenced: false,
            },
            told: false,
            last: Some(true),
            breached_for: Duration::ZERO,
            clear_for: Duration::ZERO,
            unknown_for: Duration::ZERO,
        };
        active.take(seen, unix_ms);
        active
    }

    /// Takes in what is known `step` after the last time, and returns the phase that follows.
    pub(super) fn observe(
        &mut self,
        rule: &AlertRule,
        seen: Option<&Observation<'_>>,
        step: Duration,
        unix_ms: u64,
    ) -> Phase {
        let word = seen.and_then(|seen| seen.breached);
        let agrees = word == self.last;
        self.last = word;
        if let (Some(seen), Some(_)) = (seen, word) {
            self.take(seen, unix_ms);
        }
        match word {
            None => self.unknown_for += step,
            Some(true) => {
                self.breached_for += if agrees { step } else { Duration::ZERO };
                self.clear_for = Duration::ZERO;
            }
            Some(false) => self.clear_for += if agrees { step } else { Duration::ZERO },
        }
        if word.is_some() {
            self.unknown_for = Duration::ZERO;
        }
        match (self.alert.phase, word) {
            (Phase::Pending, None) if self.unknown_for >= rule.expire => Phase::Withdrawn,
            (Phase::Pending, Some(false)) => Phase::Withdrawn,
            (Phase::Pending, Some(true)) => self.after_breach(rule),
            (Phase::Firing, None) if self.unknown_for >= rule.expire => Phase::Expired,
            (Phase::Firing, Some(false)) if self.clear_for >= rule.keep => Phase::Resolved,
            (phase, _) => phase,
        }
    }

    /// The phase of one that is known to be breached.
    pub(super) fn after_breach(&self, rule: &AlertRule) -> Phase {
        if self.breached_for >= rule.hold { Phase::Firing } else { Phase::Pending }
    }

    fn take(&mut self, seen: &Observation<'_>, unix_ms: u64) {
        let alert = &mut self.alert;
        alert.known_at_unix_ms = unix_ms;
        (alert.value, alert.threshold) = (seen.value, seen.threshold);
        // Not a number is less than every number.
        alert.peak = alert.peak.max(seen.value);
        seen.detail[..seen.detail.floor_char_boundary(LONGEST_DETAIL)].clone_into(&mut alert.detail);
        if alert.trace_id.is_none() {
            alert.trace_id.clone_from(&seen.trace_id);
        }
    }
}
