//! The end of a load: its result goes to L1 and to all waiting callers.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cache_tiers::{
    Event, Key, LoadResult, Removal,
    class::{Class, Count},
    fill::Keep,
    flight::{Flight, Outcome},
    follow::recheck,
    l2::Mark,
    memory::Inserted,
    parcel::Brought,
    slot::{Anything, Slot, State},
    tiers::Tiers,
};

/// After a failed refresh, the value is served for this long before the next attempt. So readers do
/// not send their full rate to a source in trouble. Also applies during one.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How the task of a load ended.
pub(crate) enum Ended {
    Brought(Brought),
    /// There is no value: the loader said so, after this time, or L2 if no caller loads.
    Absent(Option<Duration>),
    Failed(Anything),
    Panicked,
    Aborted,
    Refused,
}

/// The duty to end a flight: held by its task, done when it lands or is dropped.
pub(crate) struct Landing {
    tiers: Arc<Tiers>,
    class: Arc<Class>,
    key: Key,
    pub(super) flight: Arc<Flight>,
    started: Duration,
    landed: bool,
}

impl Landing {
    pub(crate) fn new(tiers: Arc<Tiers>, class: Arc<Class>, key: &Key, flight: &Arc<Flight>) -> Self {
        let started = tiers.clock.now();
        Self { tiers, class, key: key.clone(), flight: Arc::clone(flight), started, landed: false }
    }

    pub(crate) fn land(mut self, ended: Ended) {
        self.settle(ended);
    }

    fn settle(&mut self, ended: Ended) {
        let mut elapsed = Some(self.tiers.clock.now().saturating_sub(self.started));
        let (mut inserted, mut outdated) = (Inserted::default(), None);
        // If the loader says that there is no value, that holds for the stale one too.
        let is_gone = matches!(ended, Ended::Absent(Some(_)));
        let (outcome, result) = match ended {
            Ended::Brought(brought) => {
                let source = brought.source;
                elapsed = brought.loaded_in;
                let noticed = brought.noticed();
                let (slot, filled, older) = self.fill(brought);
                let stored = filled.stored;
                (inserted, outdated) = (filled, older);
                let result = if stored { LoadResult::Stored } else { LoadResult::NotStored };
                (Outcome::Loaded { slot, stored, source, noticed }, result)
            }
            Ended::Absent(loaded_in) => {
                elapsed = loaded_in;
                outdated = self.leave_absent(loaded_in.is_some());
                (Outcome::Absent, LoadResult::Absent)
            }
            Ended::Failed(error) => (self.leave_without(Outcome::Failed(error)), LoadResult::Failed),
            Ended::Panicked => (self.leave_without(Outcome::Panicked), LoadResult::Panicked),
            Ended::Aborted => (self.leave_without(Outcome::Aborted), LoadResult::Aborted),
            Ended::Refused => {
                self.class.counters.add(Count::Refused);
                (self.leave_without(Outcome::Refused), LoadResult::Refused)
            }
        };
        let result = if self.flight.was_cut_off() { LoadResult::CutOff } else { result };
        if !matches!(result, LoadResult::Stored | LoadResult::NotStored | LoadResult::Absent) {
            self.class.counters.add(Count::LoadFailure);
        }
        if !matches!(outcome, Outcome::Loaded { .. }) && !is_gone {
            self.flight.fall_back();
        }
        self.flight.end(outcome);
        self.landed = true;
        // The observer and the listeners run last, and removed values are dropped here. If one of
        // them panics or is slow, the waiters already have their answer.
        self.tiers.report_left(&self.key, &inserted);
        self.report_older(outdated);
        // A value of L2 was not loaded.
        if let Some(elapsed) = elapsed {
            self.tiers.notify(&Event::Loaded { class: self.class.ttl.name(), key: &self.key, elapsed, result });
        }
    }

    /// Returns the new slot, the effect of its insertion, and a value removed but not replaced.
    fn fill(&self, brought: Brought) -> (Slot, Inserted, Option<Slot>) {
        let (tiers, key, keep) = (&self.tiers, &self.key, brought.parcel.keep);
        let may_keep = brought.may_keep && keep == Keep::Value;
        let mark = brought.mark;
        let slot = tiers.slot(key, &self.class, self.flight.since, brought.parcel, mark);
        let mut is_doubtful = false;
        let mut outdated = None;
        let inserted = tiers.flights.leave(key, &self.flight, |may_fill| {
            if may_fill && keep == Keep::Nothing {
                outdated = self.remove_older();
            }
            // A notice of a change arrived since L2 was last queried, and found nothing here.
            // Usually it is the notice of this very fill. So a value that L2 holds is kept and
            // compared, as with a later notice. A value of L1 alone cannot be compared: one notice
            // since its load began rules it out.
            is_doubtful = Mark::noticed(mark) != self.flight.inquiry.noticed();
            let may_keep = may_keep && (!is_doubtful || slot.shared.is_some());
            if may_fill && may_keep { tiers.fill(key, &slot) } else { Inserted::default() }
        });
        if is_doubtful && inserted.stored {
            recheck(tiers, key, &slot);
        }
        (slot, inserted, outdated)
    }

    /// If the loader no longer has a value, the old one is no longer served.
    fn leave_absent(&self, was_loaded: bool) -> Option<Slot> {
        let flights = &self.tiers.flights;
        flights.leave(
            &self.key,
            &self.flight,
            |may_fill| if may_fill && was_loaded { self.remove_older() } else { None },
        )
    }

    /// Removes the older value from L1. The caller holds the lock of the key's flights.
    fn remove_older(&self) -> Option<Slot> {
        let (tiers, now) = (&self.tiers, self.tiers.clock.coarse().into());
        // A value of another load with another error type.
        let is_new = matches!(tiers.peek(&self.key), Some((slot, State::Fresh(_))) if !slot.times.is_quiet(now));
        if is_new { None } else { tiers.memory.remove(&self.key) }
    }

    fn report_older(&self, outdated: Option<Slot>) {
        if let Some(outdated) = outdated {
            self.tiers.report_removed(&self.key, &outdated, Removal::Invalidated);
        }
    }

    fn leave_without(&self, outcome: Outcome) -> Outcome {
        let now = self.tiers.clock.coarse();
        self.tiers.flights.leave(&self.key, &self.flight, |may_fill| {
            if may_fill {
                self.tiers.memory.postpone_refresh(&self.key, now, now.saturating_add(PAUSE));
            }
        });
        outcome
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.settle(Ended::Aborted);
        }
    }
}
