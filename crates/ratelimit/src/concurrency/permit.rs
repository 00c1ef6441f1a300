//! Permits for running requests.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::gradient::{Gradient, GradientState, Outcome, Sample};
use crate::{Clock, Timestamp};

/// The number of running requests of one key, and its limit.
pub(super) struct Slot {
    pub(super) in_flight: AtomicU32,
    pub(super) limit: AtomicU32,
    /// State of an adaptive limit. `None` for a fixed limit.
    pub(super) course: Option<Course>,
}

pub(super) struct Course {
    gradient: Gradient,
    state: Mutex<GradientState>,
}

impl Course {
    pub(super) fn new(gradient: Gradient, state: GradientState) -> Self {
        Self { gradient, state: Mutex::new(state) }
    }
}

/// A permit to run one request. Released when it is dropped.
///
/// If a permit is dropped without an outcome, because its request was cancelled or panicked, it
/// says nothing about the load. If it was held for more than five times the baseline, it counts as
/// [`Outcome::Overload`].
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit {
    slot: Arc<Slot>,
    /// Start of the request, for an adaptive limit.
    started: Option<Started>,
    outcome: Option<Outcome>,
}

struct Started {
    clock: Clock,
    at: Timestamp,
    in_flight: u32,
}

impl Slot {
    pub(super) fn new(limit: u32, course: Option<Course>) -> Self {
        Self { in_flight: AtomicU32::new(0), limit: AtomicU32::new(limit), course }
    }

    /// Acquires a permit, or returns the limit as an error. Must be called with the key's shard
    /// locked, so that the last permit is not acquired twice.
    pub(super) fn take(slot: &Arc<Self>, clock: &Clock) -> Result<Permit, u32> {
        let limit = slot.limit.load(Ordering::Relaxed);
        if slot.in_flight.load(Ordering::Acquire) >= limit {
            return Err(limit);
        }
        let in_flight = slot.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        let start = |_| Started { clock: clock.clone(), at: Timestamp::now(clock), in_flight };
        let started = slot.course.as_ref().map(start);
        Ok(Permit { slot: Arc::clone(slot), started, outcome: None })
    }
}

impl Permit {
    /// Releases the permit and reports the outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Releases the permit after a request that was served.
    pub fn succeeded(self) {
        self.finish(Outcome::Success);
    }

    /// Releases the permit after a request that failed because of overload.
    pub fn overloaded(self) {
        self.finish(Outcome::Overload);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (Some(Started { clock, at, in_flight }), Some(course)) = (&self.started, &self.slot.course) {
            let mut state = course.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Read while the lock is held, so that times are in order.
            let sample =
                Sample { started: *at, ended: Timestamp::now(clock), in_flight: *in_flight, outcome: self.outcome };
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
