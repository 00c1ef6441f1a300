//! The progress of a group, as readers see it.

use serde::Serialize;

use tidegate_queue_broker::{GroupId, JobId, Timestamp};

/// Progress of a group. Serializes in the form of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupProgress {
    /// Id of the group.
    pub id: GroupId,
    /// The queue of its members.
    pub queue: String,
    /// Members enqueued so far.
    pub total: u64,
    /// Members that are done.
    pub done: u64,
    /// Members that failed for good.
    pub dead: u64,
    /// Members that were cancelled or discarded.
    pub cancelled: u64,
    /// Members that have not ended.
    pub pending: u64,
    /// Whether it accepts no more members.
    pub sealed: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a worker found it sealed with no pending member. `None` if it has not completed.
    pub completed_at: Option<Timestamp>,
    /// Queue and id of its completion job. `None` if it has none, or none was enqueued yet.
    pub completion_job: Option<CompletionJob>,
}

/// The completion job of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompletionJob {
    /// Its queue.
    pub queue: String,
    /// Its id.
    pub id: JobId,
}

impl GroupProgress {
    /// Share of members that have ended, in percent, rounded down. An empty group is at 0 until it
    /// has completed.
    pub fn percent(&self) -> u8 {
        let ended = u128::from(self.total.saturating_sub(self.pending));
        let percent = match self.total {
            0 => u128::from(self.completed_at.is_some()) * 100,
            total => ended * 100 / u128::from(total),
        };
        u8::try_from(percent).unwrap_or(100)
    }
}
