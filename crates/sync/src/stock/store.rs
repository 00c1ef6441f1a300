//! What a store does for stocks.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;

/// Names a stock, and how long it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StockId {
    /// Its name.
    pub name: String,
    /// How long ids are remembered after their end.
    pub horizon: Duration,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It was sold.
    Confirmed,
    /// It was given back.
    Released,
    /// It was abandoned.
    Expired,
}

/// The answer to [`StockStore::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Added, now or before.
    Added,
    /// The id names something else.
    Reused,
    /// The total would go over 2^53 − 1.
    TooLarge,
}

/// The answer to [`StockStore::reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserving {
    /// Reserved, now or before.
    Open {
        /// For this long.
        expires_in: Duration,
    },
    /// It was reserved before, and that has ended.
    Ended(Ended),
    /// There is not enough, but this.
    Left(u64),
    /// The id names something else.
    Reused,
    /// There is no such stock.
    NoStock,
}

/// How much is where. `available + reserved + sold = total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To be had.
    pub available: u64,
    /// In open reservations.
    pub reserved: u64,
    /// In confirmed ones.
    pub sold: u64,
    /// All that was added.
    pub total: u64,
    /// All that was ever released; some of it may have been reserved again.
    pub released: u64,
    /// All that ever expired; some of it may have been reserved again.
    pub expired: u64,
}

/// What [`StockStore::sweep`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Reservations taken back.
    pub expired: u64,
    /// Ids forgotten.
    pub forgotten: u64,
}

/// A store of stocks. Each method is one atomic step, and repeated with the same id it happens once. Quantities are from 1
/// to 2^53 − 1.
#[async_trait]
pub trait StockStore: Send + Sync + 'static {
    /// Adds to what is available.
    ///
    /// # Errors
    /// A failing store.
    async fn add(&self, stock: &StockId, id: &str, quantity: u64) -> Result<Added, StoreError>;

    /// Reserves, all or nothing.
    ///
    /// # Errors
    /// A failing store.
    async fn reserve(&self, stock: &StockId, id: &str, quantity: u64, ttl: Duration) -> Result<Reserving, StoreError>;

    /// Ends an open reservation as `wanted` (confirmed or released), or as expired if its time has passed. Returns how it
    /// has ended, now or before; nothing when the id is not known.
    ///
    /// # Errors
    /// A failing store.
    async fn end(&self, stock: &StockId, id: &str, wanted: Ended) -> Result<Option<Ended>, StoreError>;

    /// Takes back abandoned reservations and forgets old ids, at most `limit` of each.
    ///
    /// # Errors
    /// A failing store.
    async fn sweep(&self, stock: &StockId, limit: u32) -> Result<Swept, StoreError>;

    /// Reads the counts; nothing when there is no such stock.
    ///
    /// # Errors
    /// A failing store.
    async fn counts(&self, stock: &StockId) -> Result<Option<Counts>, StoreError>;

    /// Removes the stock.
    ///
    /// # Errors
    /// A failing store.
    async fn remove(&self, stock: &StockId) -> Result<(), StoreError>;
}
