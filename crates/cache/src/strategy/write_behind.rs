//! Write-behind: a write is done when it is kept here; the store is told a moment later, many writes at once.
//!
//! [`WriteBehind`] keeps values, of which the last one counts; [`Increments`] keeps sums, which add up. What waits is
//! coalesced by key, bounded, and handed to a sink that the program brings, every 5 s or as soon as 100 wait, and again with
//! longer and longer pauses while the sink fails.
//!
//! # Where the writes wait
//!
//! In the memory of the process, or in Redis. In memory everything that was not flushed is lost with the process when it is killed:
//! by default up to 5 s of writes, more while the sink fails. In Redis nothing that was acknowledged is lost when processes
//! are killed, all at once included: another node flushes, or the next one that starts. What Redis itself can lose
//! (its last second with `appendfsync everysec`, what a failover had not replicated) is lost here too, so it must be a server of the
//! durable role (`tidegate_redis::Role::Durable`), which never evicts: others are refused.
//!
//! # Why nothing is counted twice or turned back
//!
//! Every value has a version, and every batch of increments a stream and a number; both only grow, also after Redis was emptied,
//! since they are the server's microseconds wherever that is more than the last one and one. The sink compares. So a node that was
//! suspended in the middle of a flush, and goes on when another one has long flushed more, changes nothing.
//!
//! A failover can bring back an older Redis. So where replicas follow, a batch of increments goes to the sink only when one of them has
//! confirmed that it was taken (`WAIT 1`; the client's connection stands still for 200 ms at most, and the flush is tried again): the sums in it
//! don't wait once more under another number when that replica becomes the primary. And no process gives out a version or number that
//! is not above all that it has seen. What remains:
//!
//! - Without a replica, or when one becomes primary that had not confirmed, or after a restart from an older file, increments of a
//!   batch that the store has already wait again, and count twice.
//! - Where the new server's clock is behind the old one's, a process that has seen nothing of the old one's numbers may give out lower ones;
//!   what the sink finds under a higher one already it leaves out, until the clock has caught up. Keep the servers' clocks together.

mod engine;
mod error;
mod increments;
mod memory;
mod options;
mod pending;
#[cfg(feature = "redis")]
mod redis;
mod sink;
#[cfg(feature = "redis")]
mod turn;
mod values;

pub use engine::WriteBehindStatus;
pub use error::{NotFlushed, WriteBehindError, WriteBehindReadError};
pub use increments::Increments;
pub use options::WriteBehindOptions;
pub use pending::PendingIncrement;
pub use sink::{Increment, IncrementBatch, IncrementSink, ValueSink, ValueWrite};
pub use values::{Accepted, WriteBehind};

#[cfg(not(feature = "redis"))]
use crate::l2::turn;
