//! Requests to a broker and its answers.

use std::time::Duration;

use serde::Serialize;

use crate::id::{JobId, WorkerId};
use crate::state::JobState;
use crate::timestamp::Timestamp;

/// Result of storing a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored.
    New,
    /// The queue already has the id: nothing was changed.
    Existing,
    /// This job holds the unique key: nothing was stored.
    Duplicate(JobId),
    /// Stored in place of this job, which was cancelled.
    Replaced(JobId),
}

impl Stored {
    /// Whether a new job was stored.
    pub const fn is_new(&self) -> bool {
        matches!(self, Self::New | Self::Replaced(_))
    }
}

/// Counts of a group's jobs by state. Jobs that are not done, dead or cancelled are pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// Jobs that were enqueued into the group.
    pub total: u64,
    /// Finished with a result.
    pub done: u64,
    /// Failed for good.
    pub dead: u64,
    /// Cancelled or discarded.
    pub cancelled: u64,
}

impl GroupCounts {
    /// Jobs that have not ended.
    pub const fn pending(&self) -> u64 {
        self.total.saturating_sub(self.done + self.dead + self.cancelled)
    }
}

/// A request to lease jobs.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The worker. Its id becomes the nonce of the leases.
    pub worker: WorkerId,
    /// Most jobs to lease. Zero only settles.
    pub max: usize,
    /// Length of each lease.
    pub lease: Duration,
}

/// Result of [`promote`](crate::Broker::promote).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Jobs that became ready. If it equals the limit, there may be more.
    pub moved: usize,
    /// When the next delayed job is due.
    pub next_due: Option<Timestamp>,
}

/// A request to reclaim expired leases.
#[derive(Clone, Copy, Debug)]
pub struct Reclaim {
    /// Length of a lease, and of the time after a pause in which nothing is reclaimed.
    pub lease: Duration,
    /// Time since the last call, by any worker, that counts as a pause: two ticks of maintenance.
    pub pause: Duration,
    /// Lost leases after which a job is dead.
    pub max_lost: u32,
    /// Most leases to reclaim in one step.
    pub limit: usize,
}

/// Result of [`reclaim`](crate::Broker::reclaim).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Jobs that are ready again.
    pub ready: Vec<JobId>,
    /// Jobs that lost too many leases.
    pub dead: Vec<JobId>,
    /// Jobs whose cancellation had been requested.
    pub cancelled: Vec<JobId>,
    /// Time until the next lease expires. `None` if no job is leased.
    pub next_in: Option<Duration>,
    /// Whether nothing was checked, because maintenance had paused less than a lease ago.
    pub guarded: bool,
}

/// Why [`wait`](crate::Broker::wait) returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A queue has ready jobs.
    Ready,
    /// A delayed job is due: call `promote`.
    Due,
    /// The time-out has passed.
    Timeout,
}

/// Result of a request to change one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The change was made.
    Applied,
    /// The job is running: its worker will receive the request with the next heartbeat.
    Requested,
    /// There is no such job.
    NotFound,
    /// The job's state doesn't allow it.
    Refused(JobState),
}

/// States of jobs that may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanableState {
    /// Finished with a result.
    Done,
    /// Dead letters.
    Dead,
    /// Cancelled or discarded.
    Cancelled,
}

impl From<CleanableState> for JobState {
    fn from(state: CleanableState) -> Self {
        match state {
            CleanableState::Done => Self::Done,
            CleanableState::Dead => Self::Dead,
            CleanableState::Cancelled => Self::Cancelled,
        }
    }
}

impl TryFrom<JobState> for CleanableState {
    type Error = JobState;

    /// Returns an unfinished state as the error.
    fn try_from(state: JobState) -> Result<Self, JobState> {
        match state {
            JobState::Done => Ok(Self::Done),
            JobState::Dead => Ok(Self::Dead),
            JobState::Cancelled => Ok(Self::Cancelled),
            JobState::Ready | JobState::Delayed | JobState::Waiting | JobState::Leased => Err(state),
        }
    }
}

/// How long finished jobs are kept. Every limit applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Longest age of done and cancelled jobs. Enqueueing an id is idempotent for this time.
    pub done_for: Duration,
    /// Most done jobs, and most cancelled ones.
    pub done_max: u64,
    /// Longest age of dead jobs.
    pub dead_for: Duration,
    /// Most dead jobs.
    pub dead_max: u64,
}

impl Default for Retention {
    /// Done and cancelled: a day, 10,000 each. Dead: 30 days, 100,000.
    fn default() -> Self {
        Self {
            done_for: Duration::from_secs(24 * 3600),
            done_max: 10_000,
            dead_for: Duration::from_secs(30 * 24 * 3600),
            dead_max: 100_000,
        }
    }
}

impl Retention {
    pub(crate) fn limits(self) -> [(JobState, Duration, u64); 3] {
        [
            (JobState::Done, self.done_for, self.done_max),
            (JobState::Cancelled, self.done_for, self.done_max),
            (JobState::Dead, self.dead_for, self.dead_max),
        ]
    }
}
