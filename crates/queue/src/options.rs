//! Choices for one enqueue.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{GroupId, JobId};
use crate::state::Priority;
use crate::unique::Unique;

/// A point in time, as a producer names it: the broker's clock decides what it means.
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

/// Choices for one enqueue; the default runs at once, at normal priority, under the worker's policy.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EnqueueOptions {
    /// `None`: at once.
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

    /// Runs no sooner than `delay` after the broker took it. Replaces [`run_at`](Self::run_at).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.due = Some(Moment::After(delay));
        self
    }

    /// Runs no sooner than `time`; a past time means at once. Replaces [`delay`](Self::delay).
    pub fn run_at(mut self, time: Timestamp) -> Self {
        self.due = Some(Moment::At(time));
        self
    }

    /// Runs no later than `life` after the broker took it: a run that would begin later, a repeated one too, is cancelled
    /// instead. Replaces [`not_after`](Self::not_after).
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expiry = Some(Moment::After(life));
        self
    }

    /// Runs no later than `time`. Replaces [`expires_in`](Self::expires_in).
    pub fn not_after(mut self, time: Timestamp) -> Self {
        self.expiry = Some(Moment::At(time));
        self
    }

    /// Sets the urgency.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Bounds failing attempts, in place of the worker's policy. Zero counts as one.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Bounds one run, in place of the worker's time-out. Counted in milliseconds, at least one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.max(Duration::from_millis(1)));
        self
    }

    /// Names the job; enqueueing the same id again changes nothing while its record is kept. A job with an ordering or a
    /// unique key has that key's route appended (`~` and 3 letters or digits): the id that enqueueing returns is the one
    /// to ask by.
    pub fn id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Runs the jobs of one key one after the other, in the order they were enqueued: while one is delayed, runs or waits to
    /// be tried again, the later ones wait. 1 to 256 bytes of anything but control characters.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Allows one job at a time with a key.
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Counts the job in a group. See [`Groups`](crate::Groups).
    pub fn group(mut self, group: GroupId) -> Self {
        self.group = Some(group);
        self
    }

    /// Sets the version of the payload's shape, for a job whose type isn't known here: 1 unless set, and at least 1. A typed
    /// job has that of its type.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version.max(1));
        self
    }

    /// Carries a W3C `traceparent` to the job's runs: to [`Context::trace_parent`](crate::Context::trace_parent) and the span
    /// around each. It is whoever exports the spans that joins them to the producer's trace by it.
    pub fn trace_parent(mut self, trace_parent: impl Into<String>) -> Self {
        self.trace_parent = Some(trace_parent.into());
        self
    }
}
