//! Choices for one enqueue.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::JobId;
use crate::state::Priority;

/// When a job may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Due {
    #[default]
    Now,
    After(Duration),
    At(Timestamp),
}

impl Due {
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::After(delay) => now.after(delay),
            Self::At(time) => time,
        }
    }
}

/// Choices for one enqueue; the default runs at once, at normal priority, under the worker's policy.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EnqueueOptions {
    pub(crate) due: Due,
    pub(crate) priority: Priority,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) id: Option<JobId>,
}

impl EnqueueOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs no sooner than `delay` after the broker took it. Replaces [`run_at`](Self::run_at).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.due = Due::After(delay);
        self
    }

    /// Runs no sooner than `time`; a past time means at once. Replaces [`delay`](Self::delay).
    pub fn run_at(mut self, time: Timestamp) -> Self {
        self.due = Due::At(time);
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

    /// Names the job; enqueueing the same id again changes nothing while its record is kept.
    pub fn id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }
}
