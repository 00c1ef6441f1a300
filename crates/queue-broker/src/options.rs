//! Options of an enqueue.

use std::time::Duration;

use crate::id::{GroupId, JobId};
use crate::state::Priority;
use crate::timestamp::Timestamp;
use crate::unique::Unique;

/// A point in time that a producer sets. The broker's clock decides when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    After(Duration),
    At(Timestamp),
}

impl Moment {
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::After(delay) => now.after(delay),
            Self::At(time) => time,
        }
    }
}

/// Options of an enqueue. By default, the job is due at once, has normal priority, and the worker's
/// policy applies.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EnqueueOptions {
    /// `None` if due at once.
    pub(crate) due: Option<Moment>,
    pub(crate) expiry: Option<Moment>,
    pub(crate) priority: Priority,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) id: Option<JobId>,
    pub(crate) ordering_key: Option<String>,
    pub(crate) unique: Option<Unique>,
    pub(crate) group: Option<GroupId>,
    pub(crate) trace_parent: Option<String>,
    pub(crate) version: Option<u32>,
}

impl EnqueueOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs no earlier than `delay` after the broker stored the job. Replaces
    /// [`run_at`](Self::run_at).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.due = Some(Moment::After(delay));
        self
    }

    /// Runs no earlier than `time`; a past time means at once. Replaces [`delay`](Self::delay).
    pub fn run_at(mut self, time: Timestamp) -> Self {
        self.due = Some(Moment::At(time));
        self
    }

    /// Runs no later than `life` after the broker stored the job. If a run, including a retry,
    /// would start later, the job is cancelled instead. Replaces [`not_after`](Self::not_after).
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expiry = Some(Moment::After(life));
        self
    }

    /// Runs no later than `time`. Replaces [`expires_in`](Self::expires_in).
    pub fn not_after(mut self, time: Timestamp) -> Self {
        self.expiry = Some(Moment::At(time));
        self
    }

    /// Sets the priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Limits failed attempts, in place of the worker's policy. Zero counts as one.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Limits the time of one run, in place of the worker's time-out. Counted in milliseconds, at
    /// least one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.max(Duration::from_millis(1)));
        self
    }

    /// Sets the job's id. Enqueueing the same id again has no effect while its record is kept. If
    /// the job has an ordering or unique key, the key's route (`~` and 3 letters or digits) is
    /// appended. So look the job up by the id that enqueueing returns.
    pub fn id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Runs the jobs of one key one after the other, in the order of their enqueues. While one is
    /// delayed, runs or waits for a retry, the later ones wait. 1 to 256 bytes without control
    /// characters.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Sets a unique key: one job at a time holds it.
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Adds the job to a group. See `Groups` of `tidegate-queue`.
    pub fn group(mut self, group: GroupId) -> Self {
        self.group = Some(group);
        self
    }

    /// Sets the version of the payload's shape, for a job whose type is not known here: 1 by
    /// default, and at least 1. A typed job has the version of its type.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version.max(1));
        self
    }

    /// Passes a W3C `traceparent` to the job's runs: to `Context::trace_parent` and to the span of
    /// each run. The exporter of the spans has to link them to the producer's trace by it.
    pub fn trace_parent(mut self, trace_parent: impl Into<String>) -> Self {
        self.trace_parent = Some(trace_parent.into());
        self
    }
}
