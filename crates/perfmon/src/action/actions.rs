//! Follows advice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::actuator::{Actuator, step};
use super::effect::{Effect, Figures, MINUTES};
use super::entry::{Entry, Outcome, RevertError};
use super::settings::Settings;
use crate::advice::{Advice, Change, Signals};

const DAY: u64 = 1440;
/// Minutes from one change to the next.
const COOL_DOWN: u64 = 10;
/// Changes in a day.
const A_DAY: usize = 6;
/// Minutes after which a change without data is reverted.
const NOTHING_SEEN: u64 = 15;

/// Follows advice within bounds, and reverts changes that do not help. See the
/// [module](crate::action).
pub struct Actions {
    settings: Settings,
    actuators: Vec<Arc<dyn Actuator>>,
    /// Newest last.
    journal: VecDeque<Entry>,
    next_id: u64,
    /// The change on trial, and the figures before it.
    trial: Option<(u64, Figures)>,
    /// The minutes of the changes of the last day, and of the last attempt or revert.
    made: VecDeque<u64>,
    last: Option<u64>,
    /// The minute of the last call of [`consider`](Self::consider).
    now: u64,
    /// Actuators that are not changed, and until which minute.
    resting: Vec<(String, u64)>,
}

impl Actions {
    /// Creates it with these actuators. If several have the same name, the first one counts.
    pub fn new(settings: Settings, actuators: Vec<Arc<dyn Actuator>>) -> Self {
        Self {
            settings,
            actuators,
            journal: VecDeque::new(),
            next_id: 1,
            trial: None,
            made: VecDeque::new(),
            last: None,
            now: 0,
            resting: Vec::new(),
        }
    }

    /// Adds an actuator. Ignores it if there already is one with this name.
    pub fn add(&mut self, actuator: Arc<dyn Actuator>) {
        self.actuators.push(actuator);
    }

    /// Switches it on or off. A change on trial is still judged.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.settings.enabled = enabled;
    }

    /// Whether it changes anything.
    pub fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Returns the actuators that it may set.
    pub fn actuators(&self) -> impl Iterator<Item = &dyn Actuator> {
        self.actuators.iter().map(AsRef::as_ref)
    }

    /// Judges the change on trial, or else follows the advice with the highest confidence, if a
    /// change is allowed now. Returns log entries: none, or one.
    ///
    /// `minutes` are the last minutes that [`advise`](crate::advice::advise) got, oldest first; the
    /// last of them is now. Call it once a minute.
    pub fn consider(&mut self, minutes: &[Signals], advice: &[Advice]) -> Vec<Entry> {
        let Some(now) = minutes.last().map(|signals| signals.minute) else { return Vec::new() };
        self.now = now;
        let done = match self.trial {
            Some((id, before)) => self.judge(id, before, minutes, now),
            None => self.follow(minutes, advice, now),
        };
        done.into_iter().collect()
    }

    /// Sets the value from before a change again. The change is not judged, and its actuator is
    /// left alone for a day: an operator did not want it.
    ///
    /// # Errors
    ///
    /// [`RevertError`]; then nothing was changed.
    pub fn revert(&mut self, id: u64) -> Result<Entry, RevertError> {
        self.take_back(id, None, "an operator requested it")
    }

    /// Returns the entries, newest first.
    pub fn journal(&self) -> impl Iterator<Item = &Entry> {
        self.journal.iter().rev()
    }

    fn follow(&mut self, minutes: &[Signals], advice: &[Advice], now: u64) -> Option<Entry> {
        self.made.retain(|made| now.saturating_sub(*made) < DAY);
        self.resting.retain(|(_, until)| now < *until);
        let is_too_soon = self.last.is_some_and(|last| now.saturating_sub(last) < COOL_DOWN);
        if !self.settings.enabled || is_too_soon || self.made.len() >= A_DAY {
            return None;
        }
        let (advice, change, actuator, to) = self.choose(advice)?;
        let from = actuator.now();
        let set = actuator.set(to);
        let entry = Entry {
            id: self.next_id,
            minute: now,
            actuator: actuator.name().to_owned(),
            from,
            to: if set.is_ok() { actuator.now() } else { to },
            advice: advice.id,
            evidence: advice.evidence.clone(),
            symptom: change.symptom.clone(),
            outcome: match set {
                Ok(()) => Outcome::OnTrial,
                Err(refused) => Outcome::Refused { reason: refused.to_string() },
            },
        };
        self.next_id += 1;
        self.last = Some(now);
        if entry.outcome == Outcome::OnTrial {
            self.made.push_back(now);
            let before = Figures::of(&entry.symptom, minutes, now.saturating_sub(MINUTES - 1), now.saturating_add(1));
            self.trial = Some((entry.id, before));
        } else {
            self.rest(&entry.actuator);
        }
        self.journal.push_back(entry.clone());
        while self.journal.len() > self.settings.journal.max(1) {
            self.journal.pop_front();
        }
        Some(entry)
    }

    /// The surest advice that can be followed.
    fn choose<'a>(&self, advice: &'a [Advice]) -> Option<(&'a Advice, &'a Change, Arc<dyn Actuator>, f64)> {
        let mut best: Option<(&Advice, &Change, Arc<dyn Actuator>, f64)> = None;
        for one in advice.iter().filter(|advice| advice.confidence >= self.settings.confidence) {
            let Some(change) = &one.action else { continue };
            let is_resting = self.resting.iter().any(|(name, _)| *name == change.actuator);
            let Some(actuator) = self.actuator(&change.actuator).filter(|_| !is_resting) else { continue };
            let is_surer = best.as_ref().is_none_or(|(best, ..)| one.confidence > best.confidence);
            if let Some(to) = step(actuator.as_ref(), change.factor).filter(|_| is_surer) {
                best = Some((one, change, Arc::clone(actuator), to));
            }
        }
        best
    }

    fn judge(&mut self, id: u64, before: Figures, minutes: &[Signals], now: u64) -> Option<Entry> {
        let Some(entry) = self.journal.iter_mut().find(|entry| entry.id == id) else {
            self.trial = None;
            return None;
        };
        let age = now.saturating_sub(entry.minute);
        if age < MINUTES {
            return None;
        }
        let after = Figures::of(&entry.symptom, minutes, now.saturating_sub(MINUTES - 1), now.saturating_add(1));
        let reason = match before.until(after) {
            Effect::Fine => {
                entry.outcome = Outcome::Kept;
                self.trial = None;
                return Some(entry.clone());
            }
            Effect::Unseen if age < NOTHING_SEEN => return None,
            Effect::Unseen => "nothing was to be seen of its effect".to_owned(),
            Effect::Worse(what) => format!("{what} became worse"),
        };
        self.last = Some(now);
        if let Err(error) = self.take_back(id, Some(now), &reason) {
            let entry = self.journal.iter_mut().find(|entry| entry.id == id)?;
            entry.outcome = Outcome::Left { reason: format!("{reason}, but {error}") };
            let entry = entry.clone();
            self.trial = None;
            self.rest(&entry.actuator);
            return Some(entry);
        }
        self.journal.iter().find(|entry| entry.id == id).cloned()
    }

    fn take_back(&mut self, id: u64, minute: Option<u64>, reason: &str) -> Result<Entry, RevertError> {
        let at = self.journal.iter().position(|entry| entry.id == id).ok_or(RevertError::Unknown { id })?;
        let entry = &self.journal[at];
        if !entry.outcome.is_in_force() {
            return Err(RevertError::NotInForce { id });
        }
        let actuator = self.actuator(&entry.actuator).ok_or(RevertError::Unknown { id })?;
        let now = actuator.now();
        // A later change may have come back to the same value. Reverting the earlier one first
        // would leave the later one in force.
        let is_last =
            !self.journal.range(at + 1..).any(|later| later.actuator == entry.actuator && later.outcome.is_in_force());
        if now != entry.to || !is_last {
            return Err(RevertError::Overtaken { id, now });
        }
        actuator.set(entry.from).map_err(|reason| RevertError::Refused { id, reason })?;
        let entry = &mut self.journal[at];
        entry.outcome = Outcome::Reverted { minute, reason: reason.to_owned() };
        let entry = entry.clone();
        if self.trial.is_some_and(|(trial, _)| trial == id) {
            self.trial = None;
        }
        self.rest(&entry.actuator);
        Ok(entry)
    }

    fn rest(&mut self, actuator: &str) {
        self.resting.retain(|(name, _)| name != actuator);
        self.resting.push((actuator.to_owned(), self.now.saturating_add(DAY)));
    }

    fn actuator(&self, name: &str) -> Option<&Arc<dyn Actuator>> {
        self.actuators.iter().find(|actuator| actuator.name() == name)
    }
}
