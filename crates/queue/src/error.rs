//! Errors of workers.

use tidegate_queue_broker::NameError;

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
