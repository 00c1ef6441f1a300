//! Questions to a broker and its answers.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::id::{JobId, WorkerId};
use crate::state::State;

/// What became of a job that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored.
    New,
    /// The queue knew its id: nothing was changed.
    Known,
    /// That job holds its unique key: nothing was stored.
    Duplicate(JobId),
    /// Stored in place of that job, which was cancelled.
    Replaced(JobId),
}

impl Stored {
    /// Whether there is a job now that was not there before.
    pub const fn is_new(&self) -> bool {
        matches!(self, Self::New | Self::Replaced(_))
    }
}

/// How many jobs of a group stand where; what is neither done, dead nor cancelled is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// Jobs that were enqueued with the group.
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

/// How many jobs to lease, for whom and for how long.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The worker; becomes the nonce of the leases.
    pub worker: WorkerId,
    /// At most so many; zero only settles.
    pub max: usize,
    /// Length of each lease.
    pub lease: Duration,
}

/// What [`promote`](crate::Broker::promote) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Jobs that became ready; as many as the limit means there may be more.
    pub moved: usize,
    /// When the next delayed job is due.
    pub next_due: Option<Timestamp>,
}

/// How to take back expired leases.
#[derive(Clone, Copy, Debug)]
pub struct Reclaim {
    /// The usual lease, which is also how long nothing is reclaimed after a pause.
    pub lease: Duration,
    /// A gap since the last call, by anyone, that counts as a pause: two ticks of maintenance.
    pub pause: Duration,
    /// Leases a job may lose; with the last it is dead.
    pub max_lost: u32,
    /// At most so many in one step.
    pub limit: usize,
}

/// What [`reclaim`](crate::Broker::reclaim) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Back in the queue.
    pub ready: Vec<JobId>,
    /// Lost too many leases.
    pub dead: Vec<JobId>,
    /// Somebody had asked to cancel them.
    pub cancelled: Vec<JobId>,
    /// Time until the earliest lease that is still held runs out; `None` where nothing is leased.
    pub next_in: Option<Duration>,
    /// Nothing was looked at, because maintenance had paused less than a lease ago.
    pub guarded: bool,
}

/// Why [`wait`](crate::Broker::wait) returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A queue has ready jobs.
    Ready,
    /// A delayed job is due: promote.
    Due,
    /// The time passed.
    Timeout,
}

/// What became of a request to change one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Done.
    Applied,
    /// The job is running: its worker will see the request with the next heartbeat.
    Requested,
    /// There is no such job.
    NotFound,
    /// The job's state doesn't allow it.
    Refused(State),
}

/// States that may be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanableState {
    /// Finished with a result.
    Done,
    /// Dead letters.
    Dead,
    /// Cancelled or discarded.
    Cancelled,
}

impl From<CleanableState> for State {
    fn from(state: CleanableState) -> Self {
        match state {
            CleanableState::Done => Self::Done,
            CleanableState::Dead => Self::Dead,
            CleanableState::Cancelled => Self::Cancelled,
        }
    }
}

impl TryFrom<State> for CleanableState {
    type Error = State;

    /// Gives an unfinished state back.
    fn try_from(state: State) -> Result<Self, State> {
        match state {
            State::Done => Ok(Self::Done),
            State::Dead => Ok(Self::Dead),
            State::Cancelled => Ok(Self::Cancelled),
            State::Ready | State::Delayed | State::Waiting | State::Leased => Err(state),
        }
    }
}

/// How long finished jobs are kept: each limit holds, whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of done and cancelled jobs. Also the horizon of idempotent enqueueing.
    pub done_for: Duration,
    /// Number of done jobs, and of cancelled ones.
    pub done_max: u64,
    /// Age of dead letters.
    pub dead_for: Duration,
    /// Number of dead letters.
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
    pub(crate) fn limits(self) -> [(State, Duration, u64); 3] {
        [
            (State::Done, self.done_for, self.done_max),
            (State::Cancelled, self.done_for, self.done_max),
            (State::Dead, self.dead_for, self.dead_max),
        ]
    }
}
