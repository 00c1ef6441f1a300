//! A quantity that many want a piece of.

mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use store::{Added, Counts, Ended, Reserving, StockId, StockStore, Swept};

use crate::error::{QuantityError, StoreError, check_quantity};

const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// A stock: what is available is reserved, and a reservation is confirmed (sold), released or expires.
///
/// Every step is one round trip and one atomic step of the store, and carries an id of the caller's: repeated with the same
/// id it happens once and has the same answer. At every moment `available + reserved + sold = total`.
///
/// Ids are remembered while their reservation is open and for a horizon after its end (24 h unless told otherwise); a repeat
/// that comes later is a new reservation. Ids of [additions](Self::add) are remembered for the life of the stock. That something was sold out is not remembered: the same id may have luck later.
///
/// Abandoned reservations return when somebody reserves, ten each time and 500 before anybody is told that it is sold out,
/// and when [`sweep`](Self::sweep) is called. Until then they count as reserved, but can't be confirmed.
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
    /// The stock of that name, any text, in `store`. It exists from the first [`add`](Self::add).
    pub fn new(store: Arc<dyn StockStore>, name: impl Into<String>) -> Self {
        Self { store, id: StockId { name: name.into(), horizon: HORIZON } }
    }

    /// Sets how long the id of a reservation that has ended is remembered.
    #[must_use]
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.id.horizon = horizon;
        self
    }

    /// Adds to what is available, once for each `id`; the first addition makes the stock.
    ///
    /// # Errors
    /// [`StockError::Quantity`] also where the total would go over 2^53 − 1, [`StockError::Reused`], [`StockError::Store`].
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
    /// [`StockError::Quantity`], [`StockError::NoStock`], [`StockError::Reused`] when the id reserved another quantity, or
    /// [`StockError::Store`]: then call again with the same id.
    pub async fn reserve(&self, id: &str, quantity: u64, ttl: Duration) -> Result<Reserve, StockError> {
        Ok(match self.store.reserve(&self.id, id, check_quantity(quantity)?, ttl).await? {
            Reserving::Open { expires_in } => Reserve::Reserved { expires_in },
            Reserving::Ended(how) => Reserve::Ended(how),
            Reserving::Left(left) => Reserve::SoldOut { left },
            Reserving::Reused => return Err(self.reused(id)),
            Reserving::NoStock => return Err(self.missing()),
        })
    }

    /// Sells what `id` reserved. Confirmed already is fine.
    ///
    /// # Errors
    /// [`StockError::Expired`] when it came too late, [`StockError::Released`], [`StockError::NoReservation`] or
    /// [`StockError::Store`]: then call again.
    pub async fn confirm(&self, id: &str) -> Result<(), StockError> {
        match self.store.end(&self.id, id, Ended::Confirmed).await? {
            Some(Ended::Confirmed) => Ok(()),
            Some(Ended::Released) => Err(StockError::Released { id: id.to_owned() }),
            Some(Ended::Expired) => Err(StockError::Expired { id: id.to_owned() }),
            None => Err(StockError::NoReservation { id: id.to_owned() }),
        }
    }

    /// Makes available again what `id` reserved. Released or expired already is fine.
    ///
    /// # Errors
    /// [`StockError::Confirmed`] when it is sold, [`StockError::NoReservation`] or [`StockError::Store`].
    pub async fn release(&self, id: &str) -> Result<(), StockError> {
        match self.store.end(&self.id, id, Ended::Released).await? {
            Some(Ended::Released | Ended::Expired) => Ok(()),
            Some(Ended::Confirmed) => Err(StockError::Confirmed { id: id.to_owned() }),
            None => Err(StockError::NoReservation { id: id.to_owned() }),
        }
    }

    /// Takes back abandoned reservations and forgets old ids, at most `limit` of each and never more than 1,000. Call it
    /// now and then, and again at once while it finds that many.
    ///
    /// # Errors
    /// A failing store.
    pub async fn sweep(&self, limit: u32) -> Result<Swept, StockError> {
        Ok(self.store.sweep(&self.id, limit.min(1_000)).await?)
    }

    /// Reads how much is where.
    ///
    /// # Errors
    /// [`StockError::NoStock`] or [`StockError::Store`].
    pub async fn counts(&self) -> Result<Counts, StockError> {
        self.store.counts(&self.id).await?.ok_or_else(|| self.missing())
    }

    /// Removes the stock with all that is reserved. Nothing else ends it.
    ///
    /// # Errors
    /// A failing store.
    pub async fn remove(&self) -> Result<(), StockError> {
        Ok(self.store.remove(&self.id).await?)
    }

    /// Its name.
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

/// The answer to [`Stock::reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it may be sold out"]
pub enum Reserve {
    /// It is reserved, now or by an earlier call with the same id.
    Reserved {
        /// For this long.
        expires_in: Duration,
    },
    /// There is not so much.
    SoldOut {
        /// This much is available.
        left: u64,
    },
    /// An earlier call with the same id reserved it, and that has ended.
    Ended(Ended),
}

/// A stock refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StockError {
    /// The quantity makes no sense.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// There is no such stock.
    #[error("there is no stock `{stock}`: add to it first")]
    NoStock {
        /// Its name.
        stock: String,
    },
    /// The id names something else.
    #[error("id `{id}` was used in stock `{stock}` for another quantity or an addition")]
    Reused {
        /// The stock.
        stock: String,
        /// The id.
        id: String,
    },
    /// Nothing is known under the id, or no more.
    #[error("there is no reservation `{id}`")]
    NoReservation {
        /// The id.
        id: String,
    },
    /// The reservation has expired; what it held is available to others.
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
    /// The reservation was confirmed: it is sold.
    #[error("reservation `{id}` was confirmed and can't be released")]
    Confirmed {
        /// The id.
        id: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
