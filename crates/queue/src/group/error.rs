//! Errors of groups.

use tidegate_queue_broker::{BrokerError, EnqueueError, GroupId};

/// A group was refused, or could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No group has this id: it was never created, or was removed.
    #[error("no group is named {0}")]
    Unknown(GroupId),
    /// A group with this id exists.
    #[error("a group named {0} exists")]
    Exists(GroupId),
    /// The group takes no more members.
    #[error("group {0} is sealed")]
    Sealed(GroupId),
    /// The jobs go to a queue that is not the group's.
    #[error("group {group} is in queue {queue:?}, the jobs go to {other:?}")]
    OtherQueue {
        /// The group.
        group: GroupId,
        /// Its queue.
        queue: String,
        /// The queue of the jobs.
        other: &'static str,
    },
    /// The stored group can't be read, possibly because a newer version wrote it.
    #[error("the stored group {id} can't be read: {fault}")]
    Broken {
        /// The group.
        id: GroupId,
        /// Description of the fault.
        fault: String,
    },
    /// Concurrent changes to the group made every attempt fail.
    #[error("group {0} was changed by others at the same time, again and again")]
    Contended(GroupId),
    /// The members or the completion job are not allowed, or were not enqueued.
    #[error("{0}")]
    Enqueue(#[from] EnqueueError),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}
