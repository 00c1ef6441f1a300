//! Coordination between processes: locks, semaphores, idempotency records, stocks and ledgers.
//!
//! | primitive | what it is for |
//! |---|---|
//! | [`Lock`] | one holder at a time, with a fencing token that only grows |
//! | `Redlock` (feature `redis`) | one holder at a time over several independent masters, without a token |
//! | [`Semaphore`] | at most n holders |
//! | [`Once`] | an operation that is executed once, and its stored result |
//! | [`Stock`] | a quantity that is reserved, then sold, released or returned |
//! | [`Ledger`] | transfers: both sides or neither; versions, batches, accounts distributed over a cluster |
//!
//! Each is based on a small trait with two stores: [`MemoryStore`], for one process, and
//! `RedisStore` (feature `redis`), for many. One conformance suite checks the same guarantees for
//! both.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tidegate_sync::{Ledger, Lock, MemoryStore, Transfer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new()); // or RedisStore::new(client, keyspace)
//! let ledger = Ledger::new(store.clone(), "points");
//! ledger.deposit("open-ada", "ada", 100).await?;
//! ledger.deposit("open-bob", "bob", 0).await?;
//!
//! let guard = Lock::new(store, "settlement").acquire(Duration::from_secs(5)).await?;
//! let payment = Transfer::new("settlement-2026-01", "ada", "bob", 40).fence(guard.fence());
//! let balances = ledger.transfer(payment).await?;
//! assert_eq!((balances.from, balances.to), (60, 40));
//! guard.release().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Worked examples: [a payment][payment], [coupons][coupons], [a time sale][time_sale], [loyalty
//! points][points], [a transfer][transfer] and [a checkout][checkout]. Processes of [a product
//! page][product_page], [a feed][feed] and [a leaderboard][leaderboard] take a [`Lock`] to create
//! their tables.
//!
//! [payment]: https://github.com/tidegate/tidegate/blob/main/examples/payment.rs
//! [coupons]: https://github.com/tidegate/tidegate/blob/main/examples/coupons/main.rs
//! [time_sale]: https://github.com/tidegate/tidegate/blob/main/examples/time_sale.rs
//! [points]: https://github.com/tidegate/tidegate/blob/main/examples/points.rs
//! [transfer]: https://github.com/tidegate/tidegate/blob/main/examples/transfer.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [feed]: https://github.com/tidegate/tidegate/blob/main/examples/feed/main.rs
//! [leaderboard]: https://github.com/tidegate/tidegate/blob/main/examples/leaderboard/main.rs
//!
//! # Behaviour in case of failures
//!
//! | event | lock, semaphore | once | stock, ledger |
//! |---|---|---|---|
//! | a holder is killed | free after one lease | free for the next attempt after one lease | every step was taken or not; reservations expire |
//! | a holder is suspended beyond its lease | lost: [`LockGuard::is_held`] is false when it continues, its token is refused | its result is refused if another attempt has taken over | a reservation can no longer be confirmed |
//! | a reply is lost | the step is sent again, and executed once | same | same |
//! | a waiter is killed | it delays the others by at most 1.5 s | – | – |
//! | Redis is unavailable | held for the rest of the lease, then lost | same | nothing changes; the caller gets an error |
//! | Redis has lost its data, or `FLUSHALL` | all are free; tokens continue to grow | lost: the operation is executed again | lost |
//! | Redis is killed, and its append-only file is torn | an unacknowledged step may reappear at the next restart: its permit is free again after one lease, and it never has one that another owner has | an unacknowledged step may reappear; a later step replaces it | the same; nothing is created or destroyed |
//! | Redis has reached `maxmemory` | not granted; held ones are extended and released | not begun; completed as usual | nothing is added, reserved or posted; confirmed, released and swept as usual; amounts in transit arrive |
//! | failover to a replica | writes that the replica had not received are lost: two holders until the first notices, the second with the greater token | may be executed again | the last writes may be undone; of a transfer between partitions possibly one side only |
//! | a process is killed within a transfer between partitions | – | – | the amount is in transit until another process completes the transfer |
//!
//! `docs/torn-aof.md` explains torn append-only files, which are a fault of the server.
//!
//! # What it does not guarantee
//!
//! - **That a holder stops after it has lost the lock.** A process can be suspended for any time
//!   between the check and the write. Only the target of the write can refuse it: pass
//!   [`LockGuard::fence`] to it.
//! - **Growth of tokens with a clock that is set back by more than an hour.** A token is the
//!   greater of the last one plus one and the server's clock in microseconds. The last one is
//!   stored for one hour after the lock's end, so that names that are used once leave no data
//!   behind. The clock covers an expired token, `FLUSHALL`, and a failover that lost it. For a
//!   failover, the clocks of primary and replica must differ by less than the failover takes.
//! - **Time while the machine sleeps.** [`LockGuard::is_held`] uses the monotonic clock, which on
//!   Linux stops in a suspended machine (not in a suspended process).
//! - **Durability beyond that of Redis.** A step is acknowledged before disk and replicas have it,
//!   unless the server is configured otherwise (`appendfsync always`, `min-replicas-to-write`).
//! - **Order with respect to waiters that do not wait.** A waiter whose process or connection
//!   stalls for 1.5 s loses its position; the first in the queue after 0.5 s.
//! - **Permanent storage.** A repetition after the horizon of its id (24 h by default) is a new
//!   operation.

mod acquire;
mod clock;
mod error;
mod fence;
mod hold;
mod ledger;
mod lock;
mod memory;
mod once;
mod owner;
mod permit;
#[cfg(feature = "redis")]
mod redis;
mod semaphore;
mod stock;

pub use error::{AcquireError, QuantityError, StoreError};
pub use fence::Fence;
pub use hold::LeaseOptions;
pub use ledger::{
    Account, Balances, Change, Completed, Credit, Credited, Entry, InTransit, Ledger, LedgerError, LedgerId,
    LedgerStore, PartitionError, PartitionTotals, Posted, Posting, Settlement, Snapshot, Totals, Transfer, TransitPage,
    Updated, Version,
};
pub use lock::{Lock, LockGuard};
pub use memory::MemoryStore;
pub use once::{Attempt, Begin, Begun, Once, OnceError, OnceStore, Operation};
pub use permit::{Acquire, Acquired, PermitStore, Place, PlaceKind};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, Redlock, RedlockError, RedlockGuard};
pub use semaphore::{Permit, Semaphore};
pub use stock::{Added, Counts, Ended, Reserve, Reserving, Stock, StockError, StockId, StockStore, Swept};

pub use tidegate_clock::{Clock, ManualClock};
