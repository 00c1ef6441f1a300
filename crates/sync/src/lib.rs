//! Tells processes apart in time: who may act now, how many, and what was already done.
//!
//! | primitive | what it is for |
//! |---|---|
//! | [`Lock`] | one holder at a time, with a fencing token that only grows |
//! | `Redlock` (feature `redis`) | one holder at a time over several independent masters, without token |
//! | [`Semaphore`] | at most n holders |
//! | [`Once`] | an operation that happens once, and its stored result |
//! | [`Stock`] | a quantity that is reserved, then sold, released or taken back |
//! | [`Ledger`] | transfers: both sides or neither; versions, batches, accounts spread over a cluster |
//!
//! Each stands on a small trait, which two stores implement and one conformance suite holds to the same promises:
//! [`MemoryStore`], in this process, and `RedisStore` (feature `redis`), shared by many.
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
//! # What holds when
//!
//! | event | lock, semaphore | once | stock, ledger |
//! |---|---|---|---|
//! | a holder is killed | free after one lease | free for the next attempt after one lease | every step was taken or not; reservations expire |
//! | a holder is suspended beyond its lease | lost: [`LockGuard::is_held`] is false when it goes on, its token is refused | its result is refused if another has taken over | a reservation can't be confirmed any more |
//! | a reply is lost | the step is sent again, and taken once | same | same |
//! | a waiter is killed | it holds up the others for at most 1.5 s | – | – |
//! | Redis is away | held for what remains of the lease, then lost | same | nothing changes; the caller is told |
//! | Redis is away for good, or `FLUSHALL` | all are free; tokens go on growing | forgotten: happens again | gone |
//! | Redis is killed, and its append-only file torn | an unacknowledged step may come back at the next restart: its permit is free again after one lease, and it never has one that another owner has | an unacknowledged step may come back; a later step replaces it | the same; nothing is created or destroyed |
//! | Redis has reached `maxmemory` | not given; held ones are extended and released | not begun; completed as usual | nothing is added, reserved or posted; confirmed, released and swept as usual; what is in transit arrives |
//! | failover to a replica | what the replica had not yet received: two holders until the first notices, the second with the greater token | may happen again | its last moments may be undone; of a transfer between partitions perhaps one side alone |
//! | a process is killed within a transfer between partitions | – | – | the amount is in transit until another process completes the transfer |
//!
//! `docs/torn-aof.md` explains torn append-only files, which are a fault of the server.
//!
//! # What it does not guarantee
//!
//! - **That a holder does nothing after it has lost the lock.** Between the look at the clock and the write a process can be
//!   suspended for any time. Only the place that is written to can refuse: give it [`LockGuard::fence`].
//! - **Growth of tokens on a clock that is set back by more than an hour.** A token is the greater of the last one
//!   plus one and the server's clock in microseconds. The last one is remembered for an hour after the lock's end, so that names used
//!   once leave nothing behind; the clock covers what was forgotten, `FLUSHALL` and a failover that lost it. For a failover the
//!   clocks of primary and replica must agree better than the failover takes.
//! - **Time while the machine sleeps.** [`LockGuard::is_held`] looks at the monotonic clock, which on Linux stands still in a
//!   suspended machine (not in a suspended process).
//! - **Durability beyond Redis's own.** A step is acknowledged before disk and replicas have it, unless the server is told
//!   otherwise (`appendfsync always`, `min-replicas-to-write`).
//! - **Order against those who don't wait.** A waiter whose process or connection stalls for 1.5 s loses its place; the first in the queue, for 0.5 s.
//! - **Remembering for ever.** A repeat that comes later than the horizon of its id (24 h unless told otherwise) is new.

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

pub use clock::{Clock, ManualClock, SystemClock};
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
