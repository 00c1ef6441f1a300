//! The four services.

use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_cache::{Fill, Key, Source, TypedCache};
use tidegate_queue::{Classify, Data, EnqueueOptions, Failure, Job, Producer};
use tidegate_sync::{Ended, Ledger, LedgerError, Reserve, Stock, StockError, Transfer, Version};

use crate::service::Refused;

/// Points for one piece.
const PRICE: u64 = 100;
/// Most pieces of one order.
const MAX_QUANTITY: u64 = 10;
/// How long after an order its job may run. The ledger remembers the payment for two days, the
/// stock how the order ended for three: no step is repeated whose result is forgotten.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// The account from which points are earned. It begins with all points that there can be, so no
/// user's sum becomes too large.
const ISSUER: &str = "issuer";
const MAX_POINTS: u64 = (1 << 53) - 1;
/// The account into which points are used.
const TILL: &str = "till";
/// A user with this number of expired reservations gets no coupon for a year.
const MAX_ATTEMPTS: u32 = 20;
/// Reservations that are given back in one step.
const SWEPT_AT_ONCE: u32 = 1_000;

#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) coupons: Stock,
    pub(crate) pieces: Stock,
    pub(crate) ledger: Ledger,
    pub(crate) balances: TypedCache<Option<u64>>,
    pub(crate) jobs: Producer,
    /// How long a reservation waits for its confirmation.
    pub(crate) hold: Duration,
}

/// An order. Its id names the reservation, the payment and the refund, so each happens once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) quantity: u64,
}

impl Order {
    fn points(&self) -> u64 {
        self.quantity * PRICE
    }

    fn payment(&self) -> Transfer {
        Transfer::new(&self.id, account_of(&self.user), TILL, self.points())
    }
}

impl Job for Order {
    const KIND: &'static str = "settle-order";
    const QUEUE: &'static str = "orders";
}

/// Ends an order whose process may have died: it is sold, or the points go back.
pub(crate) async fn settle(order: Order, Data(shop): Data<Shop>) -> Result<(), Failure> {
    match shop.pay(&order).await {
        Err(Refused(StatusCode::SERVICE_UNAVAILABLE, reason)) => Err(reason).or_snooze(Duration::from_secs(1)),
        _ => Ok(()),
    }
}

impl Shop {
    /// Adds what is sold and the shop's accounts: once, however many processes start.
    pub(crate) async fn open(&self, coupons: u64, pieces: u64) -> anyhow::Result<()> {
        self.coupons.add("opening", coupons).await.context("COUPONS must be as at the first start")?;
        self.pieces.add("opening", pieces).await.context("PIECES must be as at the first start")?;
        if self.ledger.account(ISSUER).await?.is_none() {
            self.ledger.deposit("issue", ISSUER, MAX_POINTS).await?;
        }
        self.ledger.deposit("open", TILL, 0).await?;
        Ok(())
    }

    pub(crate) async fn sign_up(&self, user: &str) -> Result<(), Refused> {
        // No request has an empty key, so no other posting has this id.
        self.ledger.deposit(&format!("{user}\n"), &account_of(user), 0).await?;
        self.balances.remove(&key_of(user)?).await?;
        Ok(())
    }

    /// Gives the user a coupon. A user that has one gets the same again.
    pub(crate) async fn issue(&self, user: &str) -> Result<(), Refused> {
        self.ledger.account(&account_of(user)).await?.ok_or_else(|| no_user(user))?;
        for attempt in 1..=MAX_ATTEMPTS {
            let id = format!("{user}\n{attempt}");
            match self.coupons.reserve(&id, 1, self.hold).await? {
                Reserve::SoldOut { .. } => return Err(Refused(StatusCode::CONFLICT, "there is no coupon left".into())),
                // An earlier request was abandoned.
                Reserve::Ended(Ended::Expired | Ended::Released) => continue,
                Reserve::Reserved { .. } | Reserve::Ended(Ended::Confirmed) => {}
            }
            match self.coupons.confirm(&id).await {
                Err(StockError::Expired { .. }) => {}
                confirmed => return Ok(confirmed?),
            }
        }
        Err(Refused(StatusCode::CONFLICT, format!("`{user}` has begun and abandoned too many requests")))
    }

    /// Returns the balance after it.
    pub(crate) async fn earn(&self, id: &str, user: &str, points: u64) -> Result<u64, Refused> {
        let balances = self.ledger.transfer(Transfer::new(id, ISSUER, account_of(user), points)).await?;
        self.balances.remove(&key_of(user)?).await?;
        Ok(balances.to)
    }

    pub(crate) async fn balance(&self, user: &str) -> Result<u64, Refused> {
        let (ledger, account) = (self.ledger.clone(), account_of(user));
        let load = async move || ledger.account(&account).await.map(|found| Fill::found(found.map(|it| it.balance)));
        let read = self.balances.fetch(&key_of(user)?, load).await;
        let read = read
            .map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.source().unwrap_or(&error).to_string()))?;
        let balance = match read.source {
            // Another request began the load, perhaps before this user's last write.
            Source::Collapsed => self.ledger.account(&account_of(user)).await?.map(|it| it.balance),
            _ => *read.value,
        };
        balance.ok_or_else(|| no_user(user))
    }

    /// Returns the balance after it.
    pub(crate) async fn order(&self, order: &Order) -> Result<u64, Refused> {
        let Order { id, user, quantity } = order;
        if !(1..=MAX_QUANTITY).contains(quantity) {
            let reason = format!("quantity {quantity} is not between 1 and {MAX_QUANTITY}");
            return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
        }
        let (is_paid, balance) = self.paid(order).await?;
        if !is_paid && balance < order.points() {
            return Err(LedgerError::Overdrawn { account: account_of(user), balance }.into());
        }
        let reason = match self.pieces.reserve(id, *quantity, self.hold).await? {
            Reserve::Reserved { .. } => {
                // From here on the order is settled, also if this process or its client dies.
                let later = EnqueueOptions::new().delay(self.hold / 2).expires_in(DAY);
                self.jobs.enqueue_with(order, later).await?;
                return self.pay(order).await;
            }
            Reserve::Ended(Ended::Confirmed) => {
                self.balances.remove(&key_of(user)?).await?;
                return Ok(self.paid(order).await?.1);
            }
            Reserve::Ended(_) => "this order was given up: order under a new key".into(),
            Reserve::SoldOut { left } => format!("there are only {left} pieces left"),
        };
        Err(Refused(StatusCode::CONFLICT, reason))
    }

    /// Whether an order is paid, and the balance after the payment, or the present one.
    async fn paid(&self, order: &Order) -> Result<(bool, u64), Refused> {
        // No account has this version, so a payment that was not made before is not made now.
        match self.ledger.transfer(order.payment().if_version(Version::new(0))).await {
            Err(LedgerError::Conflict { current, .. }) => Ok((false, current.balance)),
            paid => Ok((true, paid?.from)),
        }
    }

    /// Takes the points for reserved pieces, and confirms them.
    async fn pay(&self, order: &Order) -> Result<u64, Refused> {
        let Order { id, user, .. } = order;
        let paid = match self.ledger.transfer(order.payment()).await {
            Err(error @ LedgerError::Store(_)) => return Err(error.into()),
            Err(error) => {
                self.pieces.release(id).await?;
                return Err(error.into());
            }
            Ok(paid) => paid,
        };
        let confirmed = self.pieces.confirm(id).await;
        if let Err(StockError::Expired { .. } | StockError::Released { .. } | StockError::NoReservation { .. }) =
            confirmed
        {
            let refund = Transfer::new(format!("{id}\nrefund"), TILL, account_of(user), order.points());
            self.ledger.transfer(refund).await?;
        }
        self.balances.remove(&key_of(user)?).await?;
        confirmed?;
        Ok(paid.from)
    }

    /// Makes available again what processes that died have reserved. Each process may do this.
    pub(crate) async fn give_back_abandoned(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            // While Redis is away nothing is given back; the next tick tries again.
            let _ = self.coupons.sweep(SWEPT_AT_ONCE).await;
            let _ = self.pieces.sweep(SWEPT_AT_ONCE).await;
        }
    }

    /// The points in the till are those of the pieces that are sold, and of orders in progress.
    pub(crate) async fn totals(&self) -> Result<Value, Refused> {
        let (coupons, pieces) = (self.coupons.counts().await?, self.pieces.counts().await?);
        let shop = self.ledger.balances(&[ISSUER, TILL]).await?;
        Ok(json!({
            "coupons": { "total": coupons.total, "reserved": coupons.reserved, "issued": coupons.sold },
            "pieces": { "total": pieces.total, "reserved": pieces.reserved, "sold": pieces.sold },
            "points": { "earned": shop[0].map(|left| MAX_POINTS - left), "used": shop[1] },
        }))
    }
}

fn account_of(user: &str) -> String {
    format!("user:{user}")
}

/// Name of a user's balance in the cache.
fn key_of(user: &str) -> Result<Key, Refused> {
    Ok(Key::builder("balance").part(user).build()?)
}

fn no_user(user: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no user `{user}`"))
}
