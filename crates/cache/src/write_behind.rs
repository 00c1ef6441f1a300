//! Write-behind: a write is done when it is kept here. The store gets many at once, a moment later.
//!
//! [`WriteBehind`] keeps values: the last one of a key counts. [`Increments`] keeps sums, which add
//! up. Waiting writes are coalesced by key and bounded. They go to a sink of the program every 5 s
//! or as soon as 100 wait. While the sink fails, they are sent again with longer and longer pauses.
//!
//! # Where the writes wait
//!
//! Writes wait in the memory of the process or in Redis. In memory, everything that was not flushed
//! is lost when the process is killed: by default up to 5 s of writes, more while the sink fails.
//! In Redis, an acknowledged write survives the death of all processes: another node flushes it, or
//! the next one that starts. What Redis itself can lose is lost here too: the last second with
//! `appendfsync everysec`, and what a failover had not replicated. So the server must have the
//! durable role (`tidegate_redis::Role::Durable`), which never evicts. Other servers are refused.
//!
//! # Why nothing is counted twice or turned back
//!
//! Every value has a version, and every batch of increments a stream and a number. Both only grow,
//! even after Redis was emptied: they are the server's microseconds, or one more than the last one
//! if that is higher. The sink compares them. So a node that was suspended during a flush changes
//! nothing when it continues after later flushes of another node.
//!
//! A failover can bring back an older Redis. So if there are replicas, a batch of increments goes
//! to the sink only after a replica has confirmed that the batch was taken. This uses `WAIT 1`: the
//! connection of the client is blocked for 200 ms at most, and the flush is repeated. When that
//! replica becomes the primary, the sums do not wait once more under another number. No process
//! issues a version or number that is not above all that it has seen. These cases remain:
//!
//! - Increments of a batch that the store already has can wait again and count twice. This happens
//!   without a replica, if a replica that had not confirmed becomes the primary, and after a
//!   restart from an older file.
//! - If the clock of the new server is behind the old one, a process that has seen no number of the
//!   old server may issue lower ones. The sink skips what has a lower number than it already
//!   stored, until the clock has caught up. Keep the clocks of the servers in sync.

mod engine;
mod error;
mod increments;
mod memory;
mod options;
mod pending;
#[cfg(feature = "redis")]
mod redis;
mod sink;
mod values;

pub use engine::WriteBehindStatus;
pub use error::{NotFlushed, WriteBehindError, WriteBehindReadError};
pub use increments::Increments;
pub use options::WriteBehindOptions;
pub use pending::PendingIncrement;
pub use sink::{Increment, IncrementBatch, IncrementSink, ValueSink, ValueWrite};
pub use values::{Accepted, WriteBehind};
