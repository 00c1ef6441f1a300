//! Errors of brokers, and of jobs that can't be enqueued.

use crate::id::{GroupId, IdError, JobId};
use crate::name::NameError;

/// A broker operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The name is not allowed for a queue.
    #[error("queue name: {0}")]
    QueueName(#[from] NameError),
    /// The store failed.
    #[error("{operation} failed in the job store: {source}")]
    Store {
        /// Operation that failed.
        operation: &'static str,
        /// Whether trying again may help: the store was busy or unreachable.
        transient: bool,
        /// Whether the operation may have taken effect: the request was sent, but its reply was
        /// lost.
        may_have_run: bool,
        /// Error of the store.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store has no memory or disk space left. The operation had no effect.
    #[error("{operation} failed: the job store is full: {source}")]
    Full {
        /// Operation that failed.
        operation: &'static str,
        /// Error of the store.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text to be stored is larger than allowed.
    #[error("{what} of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Name of the text that is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// Size allowed.
        limit: usize,
    },
    /// A job's group does not accept it. Nothing was enqueued.
    #[error("{0}")]
    Group(#[from] GroupRefusal),
    /// The broker was closed.
    #[error("the job store is closed")]
    Closed,
}

impl BrokerError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store { transient: true, .. } | Self::Full { .. })
    }

    /// Whether the store is full. Stored jobs still run, as long as that adds little to a full
    /// Redis. New jobs are accepted again once some have been removed, or the store has more space.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether the operation may have taken effect although it failed. Repeating an enqueue with
    /// the same job ids is safe.
    pub fn may_have_run(&self) -> bool {
        matches!(self, Self::Store { may_have_run: true, .. })
    }
}

/// A group does not accept a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupRefusal {
    /// The group takes no more members.
    #[error("group {0} is sealed")]
    Sealed(GroupId),
    /// The job goes to a queue that is not the group's.
    #[error("group {group} is in queue {queue:?}, the job goes to {other:?}")]
    OtherQueue {
        /// The group.
        group: GroupId,
        /// Its queue.
        queue: String,
        /// The queue of the job.
        other: String,
    },
}

/// A job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The queue's name is not allowed.
    #[error("queue name: {0}")]
    QueueName(NameError),
    /// The kind is not allowed.
    #[error("kind: {0}")]
    Kind(NameError),
    /// The id is too long once the route of its key is appended.
    #[error("id: {0}")]
    Id(IdError),
    /// The ordering key is not allowed.
    #[error("ordering key: {0}")]
    OrderingKey(NameError),
    /// The unique key is not allowed.
    #[error("unique key: {0}")]
    UniqueKey(NameError),
    /// The trace parent is not a W3C `traceparent`.
    #[error("trace parent: not of the form version-trace-parent-flags of W3C Trace Context")]
    TraceParent,
    /// Another job holds the unique key.
    #[error("job {held_by} has the same unique key")]
    Duplicate {
        /// The job that holds the key.
        held_by: JobId,
    },
    /// The payload is larger than allowed.
    #[error("payload of {bytes} bytes is above the limit of {limit}")]
    PayloadTooLarge {
        /// Size as JSON.
        bytes: usize,
        /// Size allowed.
        limit: usize,
    },
    /// The job's group does not accept it.
    #[error("{0}")]
    Group(GroupRefusal),
    /// The job can't be written as JSON.
    #[error("job can't be serialized: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}

impl EnqueueError {
    /// Whether the job store is full, see [`BrokerError::is_full`].
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Broker(error) if error.is_full())
    }

    /// Whether the jobs may be stored, see [`BrokerError::may_have_run`].
    pub fn may_have_run(&self) -> bool {
        matches!(self, Self::Broker(error) if error.may_have_run())
    }
}
