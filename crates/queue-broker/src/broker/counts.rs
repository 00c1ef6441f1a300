//! Counts of a queue: jobs by state, and totals since it was created.

use std::time::Duration;

use serde::Serialize;

use crate::state::JobState;

/// Counts of one queue. Totals count since the queue was created and survive restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Jobs that may start now.
    pub ready: u64,
    /// Jobs that are due later.
    pub delayed: u64,
    /// Jobs that wait for an earlier job of their ordering key.
    pub waiting: u64,
    /// Jobs leased to workers.
    pub leased: u64,
    /// Done jobs still kept.
    pub done: u64,
    /// Dead jobs still kept.
    pub dead: u64,
    /// Cancelled jobs still kept.
    pub cancelled: u64,
    /// Time since the oldest ready job became ready. Serialized in seconds.
    #[serde(rename = "oldest_ready_age_seconds", serialize_with = "seconds")]
    pub oldest_ready_age: Option<Duration>,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Jobs that were done.
    pub completed_total: u64,
    /// Jobs that became dead.
    pub failed_total: u64,
    /// Failed attempts that were retried.
    pub retried_total: u64,
    /// Leases reclaimed.
    pub reclaimed_total: u64,
    /// Settlements that came too late and had no effect.
    pub stale_acks_total: u64,
    /// Jobs that were in no list after a crash of Redis, and were put back into one.
    pub recovered_total: u64,
    /// Results of jobs, log lines, checkpoints and progress messages that were not stored because
    /// the store was full.
    pub dropped_total: u64,
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
fn seconds<S: serde::Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs_f64()).serialize(serializer)
}

/// Changes of the counts of one queue within one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) states: [i64; 7],
    pub(crate) completed: i64,
    pub(crate) failed: i64,
    pub(crate) retried: i64,
    pub(crate) reclaimed: i64,
    pub(crate) stale: i64,
}

/// Index of a state in [`Tally::states`], and its number in a store.
pub(crate) const fn slot(state: JobState) -> usize {
    match state {
        JobState::Ready => 0,
        JobState::Delayed => 1,
        JobState::Leased => 2,
        JobState::Done => 3,
        JobState::Dead => 4,
        JobState::Cancelled => 5,
        JobState::Waiting => 6,
    }
}

impl Tally {
    /// How many jobs the state has gained; negative if it lost some.
    pub(crate) fn change(&self, state: JobState) -> i64 {
        self.states[slot(state)]
    }

    pub(crate) fn enter(&mut self, state: JobState, jobs: usize) {
        self.states[slot(state)] += i64::try_from(jobs).unwrap_or(i64::MAX);
    }

    pub(crate) fn leave(&mut self, state: JobState, jobs: usize) {
        self.states[slot(state)] -= i64::try_from(jobs).unwrap_or(i64::MAX);
    }

    pub(crate) fn shift(&mut self, from: JobState, to: JobState, jobs: usize) {
        self.leave(from, jobs);
        self.enter(to, jobs);
    }
}
