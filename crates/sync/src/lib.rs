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
//! What each primitive guarantees while a process or a server fails, and what it does not, is [a
//! page of its own][guarantees].
//!
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/sync.md

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
