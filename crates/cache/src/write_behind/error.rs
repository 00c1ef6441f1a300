//! Errors of a write-behind.

use std::error::Error;

use tidegate_cache_tiers::{Key, Owed};

/// Reason why a write was not accepted, or the pending writes could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteBehindError {
    /// The maximum number of keys wait already, because the sink is slow or fails. Nothing was
    /// taken. Try again later, or write to the store.
    #[error("{waiting} writes wait for the store already, the limit is {limit}")]
    Full {
        /// Number of pending keys.
        waiting: u64,
        /// Maximum number of keys.
        limit: usize,
    },
    /// The pending values would exceed their limit, because the sink is slow. Nothing was taken.
    #[error("values of {waiting} bytes wait for the store already, the limit is {limit}")]
    TooManyBytes {
        /// Number of pending bytes.
        waiting: u64,
        /// Maximum number of bytes.
        limit: usize,
    },
    /// The sum of a key's waiting increments would leave the range of `i64`. Nothing was taken.
    #[error("the waiting increments of {key} would add up to more than 64 bits")]
    Overflow {
        /// The key.
        key: Key,
    },
    /// It was shut down. Nothing was taken.
    #[error("the write-behind is shut down")]
    Closed,
    /// The client does not have the durable role: its server may evict pending writes.
    #[cfg(feature = "redis")]
    #[error(
        "writes may wait only on a Redis of the durable role, which never evicts; this client has the role {role:?}"
    )]
    NotDurable {
        /// The client's role.
        role: tidegate_redis::Role,
    },
    /// A value could not be encoded, or a pending one not decoded.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Codec(#[from] tidegate_cache_tiers::CodecError),
    /// Redis failed. If [`may_have_run`](tidegate_redis::Error::may_have_run) is true, it is
    /// unknown whether the write was taken. A value can simply be written again. An increment would
    /// then count twice if it had been taken.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] tidegate_redis::Error),
}

impl WriteBehindError {
    /// Whether the write may have been accepted all the same.
    pub fn may_have_run(&self) -> bool {
        match self {
            #[cfg(feature = "redis")]
            Self::Redis(error) => error.may_have_run(),
            _ => false,
        }
    }
}

/// Reason why [`WriteBehind::fetch`](crate::WriteBehind::fetch) has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteBehindReadError<E> {
    /// The loader failed.
    #[error("the loader failed")]
    Loader(#[source] E),
    /// It is unknown whether a write waits, so the store, which may be older, was not read.
    #[error("the waiting writes can't be read: {0}")]
    Pending(#[source] WriteBehindError),
}

/// Not all was flushed in time. It stays pending in Redis, and is lost with the process's memory.
#[derive(Debug, thiserror::Error)]
#[error("not everything that waited could be written to the store in time")]
#[non_exhaustive]
pub struct NotFlushed {
    /// Number of pending keys, if known.
    pub waiting: Option<u64>,
    /// Reason why the last attempt failed; `None` if it was still in progress, or another node's.
    #[source]
    pub reason: Option<Box<dyn Error + Send + Sync>>,
}

/// Reason why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlushError {
    /// The sink failed, or the pending writes must not or cannot go to it.
    #[error("{0}")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    #[error("the flush panicked")]
    Panicked,
    #[error("the sink took longer than its time-out")]
    TooSlow,
    #[error(transparent)]
    Pending(#[from] WriteBehindError),
    #[error("the turn to flush: {0}")]
    Turn(#[from] tidegate_sync::StoreError),
    /// The store has it, but others may still read the old value from L2.
    #[error("a batch was written to the store and stays pending until the cache can be notified: {0}")]
    Untold(#[source] Owed),
}
