//! Observations, alerts and notifications.

mod active;
mod burn;
mod burn_log;
mod history;
mod observation;
mod outbox;
mod record;
mod rule;
mod silence;

use std::collections::BTreeMap;
use std::time::Duration;

use active::Active;
use history::History;
use silence::Silences;

pub use burn::{BurnRate, BurnRateError, BurnReading, BurnWindow};
pub use burn_log::{BurnLog, Outcomes};
pub use history::Since;
pub use observation::Observation;
pub use outbox::{Numbered, Outbox, OutboxCounts};
pub use record::{Alert, Phase, Transition};
pub use rule::{AlertRule, AlertRuleError, Severity};
pub use silence::{Silence, SilenceError};

/// Alerts that are pending or firing at once; further ones are counted.
const MOST_ACTIVE: usize = 1_000;
/// Bytes that are kept of a subject.
const LONGEST_SUBJECT: usize = 256;
/// The longest gap between two evaluations that counts as evidence. An engine that was not run for
/// an hour does not know whether the hour was bad.
const LONGEST_STEP: Duration = Duration::from_secs(120);

/// The life of alerts: pending → firing → resolved.
///
/// - Rule and subject are one alert, however often they are observed.
/// - A pending alert that is known to be well before its time is withdrawn, and was never fired.
/// - An unknown observation neither fires nor resolves an alert. A missing observation is unknown.
///   An alert that is unknown for [`AlertRule::expire`] ends as expired.
/// - A silence suppresses notifications. If the alert still fires when the silence ends, it is
///   notified then. The end of an alert is notified, silenced or not, if and only if its start was:
///   no receiver keeps an open alert.
/// - All is bounded: 256 rules, 1,000 alerts at once, 256 silences, and the history asked for.
///
/// Evaluate at a steady pace, about once a second. Nothing survives a restart. An evaluation costs
/// one look-up for each observation and each active alert.
///
/// ```
/// use std::time::Duration;
/// use tidegate_perfmon::{AlertRule, Alerts, Observation, Phase, Severity};
///
/// let rule = AlertRule::new("error_rate", Severity::Critical).hold(Duration::from_secs(5));
/// let mut alerts = Alerts::new(vec![rule], 200).unwrap();
/// let bad = [Observation::new("error_rate", Some(true), 0.2, 0.05)];
/// let mut at = |secs: u64| alerts.evaluate(Duration::from_secs(secs), secs * 1000, &bad);
/// assert_eq!(at(0)[0].alert.phase, Phase::Pending);
/// assert!(at(4).is_empty());
/// let fired = at(5);
/// assert!(fired[0].notify && fired[0].alert.phase == Phase::Firing);
/// ```
#[derive(Debug)]
pub struct Alerts {
    rules: Vec<AlertRule>,
    active: BTreeMap<Key, Active>,
    silences: Silences,
    history: History,
    last_now: Option<Duration>,
    last_id: u64,
    last_seq: u64,
    unruled: u64,
    overflowed: u64,
}

/// The rule's place, and the subject.
type Key = (usize, String);

impl Alerts {
    /// Creates an engine without alerts. It keeps the last `history` ended alerts and as many
    /// transitions.
    ///
    /// # Errors
    ///
    /// The first rule that is refused.
    pub fn new(rules: Vec<AlertRule>, history: usize) -> Result<Self, AlertRuleError> {
        rule::check(&rules)?;
        Ok(Self {
            rules,
            active: BTreeMap::new(),
            silences: Silences::default(),
            history: History::new(history),
            last_now: None,
            last_id: 0,
            last_seq: 0,
            unruled: 0,
            overflowed: 0,
        })
    }

    /// Takes in the current observations and returns the transitions. `now` is monotonic; a step
    /// back counts as no time. `unix_ms` is only used as a date. If several observations have the
    /// same rule and subject, the worst counts: breached, then well, then unknown.
    pub fn evaluate(&mut self, now: Duration, unix_ms: u64, seen: &[Observation<'_>]) -> Vec<Transition> {
        let step = self.last_now.map_or(Duration::ZERO, |last| now.saturating_sub(last)).min(LONGEST_STEP);
        self.last_now = Some(now);
        let mut seen = self.by_key(seen);
        let mut changes = Vec::new();

        let active = std::mem::take(&mut self.active);
        for (key, mut active) in active {
            let before = active.alert.phase;
            let after = active.observe(&self.rules[key.0], seen.remove(&key), step, unix_ms);
            self.move_on(key, active, before, after, unix_ms, &mut changes);
        }
        for (key, observation) in seen {
            if observation.breached != Some(true) {
                continue;
            }
            if self.active.len() >= MOST_ACTIVE {
                self.overflowed += 1;
                continue;
            }
            self.last_id += 1;
            let rule = &self.rules[key.0];
            let mut active = Active::begin(self.last_id, rule, key.1.clone(), observation, unix_ms);
            active.alert.silenced = self.silences.covers(&rule.id, &key.1, unix_ms);
            let after = active.after_breach(rule);
            self.tell(None, &active.alert, false, unix_ms, &mut changes);
            self.move_on(key, active, Phase::Pending, after, unix_ms, &mut changes);
        }
        changes
    }

    /// Silences a rule for a while, from the next evaluation.
    ///
    /// # Errors
    ///
    /// [`SilenceError`] says what is wrong with it.
    pub fn silence(&mut self, silence: Silence, unix_ms: u64) -> Result<(), SilenceError> {
        self.check_silence(&silence, unix_ms)?;
        self.silences.add(silence, unix_ms);
        Ok(())
    }

    /// Whether [`silence`](Self::silence) would take it.
    ///
    /// # Errors
    ///
    /// [`SilenceError`] says what is wrong with it.
    pub fn check_silence(&self, silence: &Silence, unix_ms: u64) -> Result<(), SilenceError> {
        if !self.rules.iter().any(|rule| rule.id == silence.rule) {
            let rule = silence.rule[..silence.rule.floor_char_boundary(64)].to_owned();
            return Err(SilenceError::UnknownRule { rule });
        }
        self.silences.check(silence, unix_ms)
    }

    /// Ends a silence before its time; whether there was one.
    pub fn lift_silence(&mut self, rule: &str, subject: Option<&str>) -> bool {
        self.silences.lift(rule, subject)
    }

    /// The silences in force.
    pub fn silences(&self, unix_ms: u64) -> Vec<Silence> {
        self.silences.in_force(unix_ms).cloned().collect()
    }

    /// Returns firing alerts, the most severe first, then pending ones, then ended ones, the newest
    /// first.
    pub fn list(&self, limit: usize) -> Vec<Alert> {
        let mut alive: Vec<&Alert> = self.active.values().map(|active| &active.alert).collect();
        let rank = |alert: &Alert| (alert.phase == Phase::Firing, alert.severity, alert.id);
        alive.sort_by_key(|alert| std::cmp::Reverse(rank(alert)));
        alive.into_iter().chain(self.history.ended()).take(limit).cloned().collect()
    }

    /// Returns the alerts that fire, silenced or not, in the order of rules and subjects. Copies
    /// nothing, and does not read the history.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.active.values().map(|active| &active.alert).filter(|alert| alert.phase == Phase::Firing)
    }

    /// Returns what happened after the transition numbered `seq`, for clients that lost the stream.
    pub fn since(&self, seq: u64) -> Since {
        self.history.since(seq, self.last_seq)
    }

    /// The rules.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// How many observations found no rule.
    pub fn unruled(&self) -> u64 {
        self.unruled
    }

    /// How many breaches made no alert, because 1,000 were active.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The gravest observation of each rule and subject.
    fn by_key<'s, 'a>(&mut self, seen: &'s [Observation<'a>]) -> BTreeMap<Key, &'s Observation<'a>> {
        let gravity = |breached: Option<bool>| breached.map_or(0, |breached| 1 + u8::from(breached));
        let mut by_key: BTreeMap<Key, &Observation<'_>> = BTreeMap::new();
        for observation in seen {
            let Some(rule) = self.rules.iter().position(|rule| rule.id == observation.rule) else {
                self.unruled += 1;
                continue;
            };
            let subject = &observation.subject;
            let key = (rule, subject[..subject.floor_char_boundary(LONGEST_SUBJECT)].to_owned());
            let held = by_key.entry(key).or_insert(observation);
            if gravity(observation.breached) > gravity(held.breached) {
                *held = observation;
            }
        }
        by_key
    }

    /// Moves an alert into the phase `after`, records the transition, and keeps the alert in its
    /// place.
    fn move_on(
        &mut self,
        key: Key,
        mut active: Active,
        before: Phase,
        after: Phase,
        unix_ms: u64,
        changes: &mut Vec<Transition>,
    ) {
        active.alert.phase = after;
        active.alert.silenced = self.silences.covers(&active.alert.rule, &active.alert.subject, unix_ms);
        match after {
            Phase::Pending => {}
            Phase::Firing => {
                let notify = !active.told && !active.alert.silenced;
                active.told |= notify;
                if before != Phase::Firing {
                    active.alert.fired_at_unix_ms = Some(unix_ms);
                }
                if before != Phase::Firing || notify {
                    self.tell(Some(before), &active.alert, notify, unix_ms, changes);
                }
            }
            Phase::Resolved | Phase::Expired | Phase::Withdrawn => {
                active.alert.ended_at_unix_ms = Some(unix_ms);
                self.tell(Some(before), &active.alert, active.told, unix_ms, changes);
                if after != Phase::Withdrawn {
                    self.history.end(active.alert);
                }
                return;
            }
        }
        self.active.insert(key, active);
    }

    fn tell(
        &mut self,
        from: Option<Phase>,
        alert: &Alert,
        notify: bool,
        at_unix_ms: u64,
        changes: &mut Vec<Transition>,
    ) {
        self.last_seq += 1;
        let transition = Transition { seq: self.last_seq, at_unix_ms, from, notify, alert: alert.clone() };
        self.history.happened(transition.clone());
        changes.push(transition);
    }
}
