//! Errors of brokers, producers and workers.

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

/// The description of a worker is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No queue was given.
    #[error("a worker needs at least one queue")]
    NoQueue,
    /// No handler was given: every job would be postponed again and again.
    #[error("a worker needs at least one handler")]
    NoHandler,
    /// A queue's name is not allowed.
    #[error("queue {queue:?}: {source}")]
    QueueName {
        /// The name, cut to 80 characters.
        queue: String,
        /// Description of the fault.
        source: NameError,
    },
    /// A queue was given twice.
    #[error("queue {0:?} was given twice")]
    DuplicateQueue(String),
    /// A kind has two handlers.
    #[error("kind {0:?} has two handlers")]
    DuplicateKind(&'static str),
    /// Data of one type was given twice.
    #[error("data of type {0} was given twice")]
    DuplicateData(&'static str),
    /// A handler extracts data that was not given.
    #[error("the handler of kind {kind:?} asks for data of type {type_name}, which was not given")]
    MissingData {
        /// Kind of the handler's job.
        kind: &'static str,
        /// The missing type.
        type_name: &'static str,
    },
    /// The worker has a handler for a kind of job, but does not serve the queue of that job.
    #[error(
        "the handler of kind {kind:?} takes jobs of queue {queue:?}, which this worker does not serve: add \
         `.queue({queue:?}, …)`, or set `HandlerOptions::any_queue`"
    )]
    QueueNotServed {
        /// Kind of the handler's job.
        kind: &'static str,
        /// The queue of the handler's job.
        queue: &'static str,
    },
    /// The lease is too short to be renewed in time.
    #[error("a lease must be at least 100 ms")]
    LeaseTooShort,
}

/// A worker could not start, or a part of it ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The heartbeat thread could not be started.
    #[error("could not start the heartbeat thread: {0}")]
    Heartbeat(#[source] std::io::Error),
    /// The heartbeat thread ended while the worker ran, because code that it called panicked.
    /// Leases expired without renewal.
    #[error("the heartbeat thread ended by itself")]
    HeartbeatEnded,
    /// The loop of a queue panicked. Its jobs run again when their leases have expired.
    #[error("the loop of queue {queue:?} ended by itself: {source}")]
    Panicked {
        /// The queue.
        queue: String,
        /// How the loop ended.
        source: tokio::task::JoinError,
    },
}
