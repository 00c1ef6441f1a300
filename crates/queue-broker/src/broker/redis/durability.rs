//! How durable an enqueue is when it is reported.

use std::time::Duration;

/// The confirmations that an enqueue waits for. A lower level is faster; a higher one loses less.
///
/// - **The server is killed**: an append-only file loses nothing with `Async` and `Replicas`.
///   `Fsync` loses nothing.
/// - **Power failure of the server**: `Async` loses the last second, or nothing with `appendfsync
///   always`. `Replicas` loses the same, unless a replica takes over. `Fsync` loses nothing.
/// - **Failover**: `Async` loses the writes that the new primary had not received. `Replicas` loses
///   nothing if the new primary is one of those that had confirmed. `Fsync` with `replicas` above
///   zero is like `Replicas`.
/// - **The disk of the server is lost**: `Async` loses everything, or the writes that its replicas
///   don't have. `Replicas` and `Fsync` are like a failover.
///
/// The level applies to enqueues. Settlements of jobs are always `Async`: if one is lost, the job
/// runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisDurability {
    /// The server has it in memory. Nothing is said about its disk and its replicas.
    #[default]
    Async,
    /// This number of replicas has confirmed it (`WAIT`).
    Replicas {
        /// Number of replicas.
        count: u32,
        /// Longest time to wait for them.
        timeout: Duration,
    },
    /// It is on the server's disk (`WAITAOF`, from Redis 7.2 on, with `appendonly yes`).
    Fsync {
        /// Number of replicas that must have it on their disks too.
        replicas: u32,
        /// Longest time to wait for the confirmations.
        timeout: Duration,
    },
}

/// Jobs were stored, but not as durably as configured. The same ids can be enqueued again: stored
/// jobs are left unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDurable {
    /// Too few replicas confirmed in time.
    #[error("stored, but only {confirmed} of {wanted} replicas confirmed in time")]
    Replicas {
        /// Number of replicas that confirmed.
        confirmed: u64,
        /// Number of replicas required.
        wanted: u32,
    },
    /// The server did not write it to its disk in time.
    #[error("stored, but not on the server's disk in time")]
    Fsync,
    /// The server does not support it.
    #[error(
        "stored, but the server can't report when it is on its disk: {0}; that needs Redis 7.2 and `appendonly yes`"
    )]
    Unsupported(String),
}

impl NotDurable {
    pub(super) fn is_transient(&self) -> bool {
        !matches!(self, Self::Unsupported(_))
    }
}
