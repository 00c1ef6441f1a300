//! Stocks: a quantity with reservations.

mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use store::{Added, Counts, Ended, Reserving, StockId, StockStore, Swept};

use crate::error::{QuantityError, StoreError, check_quantity};

const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// A stock: available units are reserved, and a reservation is confirmed (sold), released, or
/// expires.
///
/// Every operation is one round trip and one atomic step of the store, and has an id of the caller.
/// If it is repeated with the same id, it is executed once and returns the same result. At all
/// times `available + reserved + sold = total`.
///
/// Ids are stored while their reservation is open and for a horizon after its end (24 h by
/// default). A later repetition is a new reservation. Ids of [additions](Self::add) are stored for
/// the lifetime of the stock. A sold-out result is not stored: the same id may succeed later.
///
/// Expired reservations are returned by calls of `reserve`, ten each time and 500 before a sold-out
/// result, and by [`sweep`](Self::sweep). Until then they count as reserved, but cannot be
/// confirmed.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidegate_sync::{MemoryStore, Reserve, Stock};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tickets = Stock::new(Arc::new(MemoryStore::new()), "concert");
/// tickets.add("first batch", 100).await?;
/// match tickets.reserve("order-17", 2, Duration::from_secs(600)).await? {
///     Reserve::Reserved { .. } => tickets.confirm("order-17").await?,
///     Reserve::SoldOut { left } => println!("only {left} left"),
///     Reserve::Ended(how) => println!("this order was {how:?} before"),
/// }
/// assert_eq!(tickets.counts().await?.sold, 2);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Stock {
    store: Arc<dyn StockStore>,
    id: StockId,
}

impl Stock {
    /// Creates a handle for the stock `name`, which can be any text, in `store`. The first
    /// [`add`](Self::add) creates the stock.
    pub fn new(store: Arc<dyn StockStore>, name: impl Into<String>) -> Self {
        Self { store, id: StockId { name: name.into(), horizon: HORIZON } }
    }

    /// Sets how long the id of a reservation is stored after its end.
    #[must_use]
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.id.horizon = horizon;
        self
    }

    /// Adds to the available quantity, once for each `id`. The first addition creates the stock.
    ///
    /// # Errors
    /// [`StockError::Quantity`], also if the total would exceed 2^53 − 1, [`StockError::Reused`],
    /// [`StockError::Store`].
    pub async fn add(&self, id: &str, quantity: u64) -> Result<(), StockError> {
        match self.store.add(&self.id, id, check_quantity(quantity)?).await? {
            Added::Added => Ok(()),
            Added::Reused => Err(self.reused(id)),
            Added::TooLarge => Err(QuantityError(quantity).into()),
        }
    }

    /// Reserves `quantity` under `id` for `ttl`, all of it or nothing.
    ///
    /// # Errors
    /// [`StockError::Quantity`], [`StockError::NoStock`], [`StockError::Reused`] if the id reserved
    /// another quantity, or [`StockError::Store`]: call again with the same id then.
    pub async fn reserve(&self, id: &str, quantity: u64, ttl: Duration) -> Result<Reserve, StockError> {
        Ok(match self.store.reserve(&self.id, id, check_quantity(quantity)?, ttl).await? {
            Reserving::Open { expires_in } => Reserve::Reserved { expires_in },
            Reserving::Ended(how) => Reserve::Ended(how),
            Reserving::Left(left) => Reserve::SoldOut { left },
            Reserving::Reused => return Err(self.reused(id)),
            Reserving::NoStock => return Err(self.missing()),
        })
    }

    /// Confirms (sells) the reservation `id`. Succeeds if it was already confirmed.
    ///
    /// # Errors
    /// [`StockError::Expired`] if it was too late, [`StockError::Released`],
    /// [`StockError::NoReservation`] or [`StockError::Store`]: call again then.
    pub async fn confirm(&self, id: &str) -> Result<(), StockError> {
        match self.store.end(&self.id, id, Ended::Confirmed).await? {
            Some(Ended::Confirmed) => Ok(()),
            Some(Ended::Released) => Err(StockError::Released { id: id.to_owned() }),
            Some(Ended::Expired) => Err(StockError::Expired { id: id.to_owned() }),
            None => Err(StockError::NoReservation { id: id.to_owned() }),
        }
    }

    /// Releases the reservation `id`. Succeeds if it was already released or has expired.
    ///
    /// # Errors
    /// [`StockError::Confirmed`] if it is sold, [`StockError::NoReservation`] or
    /// [`StockError::Store`].
    pub async fn release(&self, id: &str) -> Result<(), StockError> {
        match self.store.end(&self.id, id, Ended::Released).await? {
            Some(Ended::Released | Ended::Expired) => Ok(()),
            Some(Ended::Confirmed) => Err(StockError::Confirmed { id: id.to_owned() }),
            None => Err(StockError::NoReservation { id: id.to_owned() }),
        }
    }

    /// Returns expired reservations and removes old ids, at most `limit` of each and never more
    /// than 1,000. Call it periodically, and again immediately while it finds that many.
    ///
    /// # Errors
    /// [`StockError::Store`] if the store fails.
    pub async fn sweep(&self, limit: u32) -> Result<Swept, StockError> {
        Ok(self.store.sweep(&self.id, limit.min(1_000)).await?)
    }

    /// Reads the quantities.
    ///
    /// # Errors
    /// [`StockError::NoStock`] or [`StockError::Store`].
    pub async fn counts(&self) -> Result<Counts, StockError> {
        self.store.counts(&self.id).await?.ok_or_else(|| self.missing())
    }

    /// Removes the stock with all reservations. A stock is removed only by this call.
    ///
    /// # Errors
    /// [`StockError::Store`] if the store fails.
    pub async fn remove(&self) -> Result<(), StockError> {
        Ok(self.store.remove(&self.id).await?)
    }

    /// The name of the stock.
    pub fn name(&self) -> &str {
        &self.id.name
    }

    fn reused(&self, id: &str) -> StockError {
        StockError::Reused { stock: self.id.name.clone(), id: id.to_owned() }
    }

    fn missing(&self) -> StockError {
        StockError::NoStock { stock: self.id.name.clone() }
    }
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The result of [`Stock::reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it may be sold out"]
pub enum Reserve {
    /// The quantity is reserved, now or by an earlier call with the same id.
    Reserved {
        /// Remaining time of the reservation.
        expires_in: Duration,
    },
    /// The available quantity is too small.
    SoldOut {
        /// The available quantity.
        left: u64,
    },
    /// An earlier call with the same id reserved it, and that reservation has ended.
    Ended(Ended),
}

/// Reason why a stock refused an operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StockError {
    /// The quantity is invalid.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// The stock does not exist.
    #[error("there is no stock `{stock}`: add to it first")]
    NoStock {
        /// Its name.
        stock: String,
    },
    /// The id was used for another operation.
    #[error("id `{id}` was used in stock `{stock}` for another quantity or an addition")]
    Reused {
        /// The stock.
        stock: String,
        /// The id.
        id: String,
    },
    /// The id is unknown or no longer stored.
    #[error("there is no reservation `{id}`")]
    NoReservation {
        /// The id.
        id: String,
    },
    /// The reservation has expired. Its quantity is available to others.
    #[error("reservation `{id}` has expired")]
    Expired {
        /// The id.
        id: String,
    },
    /// The reservation was released.
    #[error("reservation `{id}` was released")]
    Released {
        /// The id.
        id: String,
    },
    /// The reservation was confirmed, so it is sold.
    #[error("reservation `{id}` was confirmed and can't be released")]
    Confirmed {
        /// The id.
        id: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
