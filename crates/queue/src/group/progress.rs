//! What readers see of a group.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::id::{GroupId, JobId};

/// How far a group has come. Serializes in the shape of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupProgress {
    /// Names it.
    pub id: GroupId,
    /// The queue of its members.
    pub queue: String,
    /// Members enqueued so far.
    pub total: u64,
    /// Finished with a result.
    pub done: u64,
    /// Failed for good.
    pub dead: u64,
    /// Cancelled or discarded.
    pub cancelled: u64,
    /// Not ended.
    pub pending: u64,
    /// Whether it takes no more members.
    pub sealed: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was seen that it is sealed and nothing is pending.
    pub completed_at: Option<Timestamp>,
    /// The queue and the id of its completion job; `None` where it has none, or before it is enqueued.
    pub completion_job: Option<CompletionJob>,
}

/// Where the completion job of a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompletionJob {
    /// Its queue.
    pub queue: String,
    /// Its id.
    pub id: JobId,
}

impl GroupProgress {
    /// Members that have ended, in percent, rounded down; an empty group is at 0 until it has completed.
    pub fn percent(&self) -> u8 {
        let ended = u128::from(self.total.saturating_sub(self.pending));
        let percent = match self.total {
            0 => u128::from(self.completed_at.is_some()) * 100,
            total => ended * 100 / u128::from(total),
        };
        u8::try_from(percent).unwrap_or(100)
    }
}
