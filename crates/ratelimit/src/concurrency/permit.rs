//! A place among those that are under way.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::gradient::{Gradient, GradientState, Outcome, Sample};
use crate::{Clock, Timestamp};

/// What is under way of one key, and its limit.
pub(super) struct Slot {
    pub(super) in_flight: AtomicU32,
    pub(super) limit: AtomicU32,
    /// Of a limit that is fixed there is none.
    pub(super) course: Option<Course>,
}

/// How the limit of a key goes on.
pub(super) struct Course {
    gradient: Gradient,
    state: Mutex<GradientState>,
}

impl Course {
    pub(super) fn new(gradient: Gradient, state: GradientState) -> Self {
        Self { gradient, state: Mutex::new(state) }
    }
}

/// The right to be under way; given back when it is dropped.
///
/// A permit that is dropped without a word, as when its request was given up or panicked, says nothing of the load, unless it was
/// held for more than five times the baseline: then it counts as [`Outcome::Overload`].
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit {
    slot: Arc<Slot>,
    /// What an adaptive limit needs to know of the start.
    started: Option<Started>,
    outcome: Option<Outcome>,
}

struct Started {
    clock: Arc<dyn Clock>,
    at: Timestamp,
    in_flight: u32,
}

impl Slot {
    pub(super) fn new(limit: u32, course: Option<Course>) -> Self {
        Self { in_flight: AtomicU32::new(0), limit: AtomicU32::new(limit), course }
    }

    /// Takes a place, or says how many there are. Only under the lock of the key's shard, so that no two take the last one.
    pub(super) fn take(slot: &Arc<Self>, clock: &Arc<dyn Clock>) -> Result<Permit, u32> {
        let limit = slot.limit.load(Ordering::Relaxed);
        if slot.in_flight.load(Ordering::Acquire) >= limit {
            return Err(limit);
        }
        let in_flight = slot.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        let start = |_| Started { clock: Arc::clone(clock), at: clock.now(), in_flight };
        let started = slot.course.as_ref().map(start);
        Ok(Permit { slot: Arc::clone(slot), started, outcome: None })
    }
}

impl Permit {
    /// Gives the place back and tells how it went.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Gives the place back after a request that was served.
    pub fn succeeded(self) {
        self.finish(Outcome::Success);
    }

    /// Gives the place back after a request that failed for want of capacity.
    pub fn overloaded(self) {
        self.finish(Outcome::Overload);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(Started { clock, at, in_flight }), Some(course)) = (&self.started, &self.slot.course) {
            let mut state = course.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that the state sees times in order.
            let sample = Sample { started: *at, ended: clock.now(), in_flight: *in_flight, outcome: self.outcome };
            course.gradient.observe(&mut state, sample);
            self.slot.limit.store(Gradient::limit(&state), Ordering::Relaxed);
        }
        self.slot.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
