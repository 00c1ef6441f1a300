//! The store of stocks.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;

/// The name of a stock, and how long it stores ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StockId {
    /// Its name.
    pub name: String,
    /// How long ids are stored after their end.
    pub horizon: Duration,
}

/// The end of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It was sold.
    Confirmed,
    /// It was released.
    Released,
    /// It expired.
    Expired,
}

/// The result of [`StockStore::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Added, now or before.
    Added,
    /// The id was used for another operation.
    Reused,
    /// The total would exceed 2^53 − 1.
    TooLarge,
}

/// The result of [`StockStore::reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserving {
    /// Reserved, now or before.
    Open {
        /// Remaining time of the reservation.
        expires_in: Duration,
    },
    /// It was reserved before, and that reservation has ended.
    Ended(Ended),
    /// Only this quantity is available.
    Left(u64),
    /// The id was used for another operation.
    Reused,
    /// The stock does not exist.
    NoStock,
}

/// Quantities of a stock. `available + reserved + sold = total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Quantity that can be reserved.
    pub available: u64,
    /// Quantity in open reservations.
    pub reserved: u64,
    /// Quantity in confirmed reservations.
    pub sold: u64,
    /// Sum of all additions.
    pub total: u64,
    /// Sum of all releases. Some of it may have been reserved again.
    pub released: u64,
    /// Sum of all expired reservations. Some of it may have been reserved again.
    pub expired: u64,
}

/// The result of [`StockStore::sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of expired reservations.
    pub expired: u64,
    /// Number of removed ids.
    pub forgotten: u64,
}

/// A store of stocks. Each method is one atomic step. If it is repeated with the same id, it is
/// executed once. Quantities are from 1 to 2^53 − 1.
#[async_trait]
pub trait StockStore: Send + Sync + 'static {
    /// Adds to the available quantity.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn add(&self, stock: &StockId, id: &str, quantity: u64) -> Result<Added, StoreError>;

    /// Reserves the whole quantity or nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn reserve(&self, stock: &StockId, id: &str, quantity: u64, ttl: Duration) -> Result<Reserving, StoreError>;

    /// Ends an open reservation as `wanted` (confirmed or released), or as expired if its time has
    /// passed. Returns how it has ended, now or before. `None` if the id is unknown.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn end(&self, stock: &StockId, id: &str, wanted: Ended) -> Result<Option<Ended>, StoreError>;

    /// Returns expired reservations and removes old ids, at most `limit` of each.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn sweep(&self, stock: &StockId, limit: u32) -> Result<Swept, StoreError>;

    /// Reads the quantities. `None` if the stock does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn counts(&self, stock: &StockId) -> Result<Option<Counts>, StoreError>;

    /// Removes the stock.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn remove(&self, stock: &StockId) -> Result<(), StoreError>;
}
