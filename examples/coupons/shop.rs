//! Reserve, write the row, confirm; and what completes it if a process dies between the steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use sqlx::{AnyPool, AssertSqlSafe};
use tidegate_sync::{Ended, Reserve, Stock, StockError, StockStore};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::Refused;

/// A user with this number of expired reservations gets no coupon for a day.
const MAX_ATTEMPTS: i64 = 20;

/// Rows of one statement.
const BATCH: usize = 32;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(5);

const SETTLED: &str = "UPDATE coupons SET is_settled = 1 WHERE campaign = $1 AND user_id = $2 AND attempt = $3";
const LOST: &str = "UPDATE coupons SET is_settled = 2 WHERE campaign = $1 AND user_id = $2 AND attempt = $3";
const EXPIRED: &str = "DELETE FROM coupons WHERE campaign = $1 AND user_id = $2 AND attempt = $3";

#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) sql: AnyPool,
    stocks: Arc<dyn StockStore>,
    hold: Duration,
    rows: mpsc::Sender<Row>,
}

/// A row that waits for its batch.
struct Row {
    campaign: String,
    user: String,
    attempt: i64,
    written: oneshot::Sender<Result<(), String>>,
}

impl Shop {
    pub(crate) fn start(sql: AnyPool, stocks: Arc<dyn StockStore>, hold: Duration) -> Self {
        let (rows, queue) = mpsc::channel(10 * BATCH);
        let shop = Self { sql, stocks, hold, rows };
        tokio::spawn(write_batches(shop.sql.clone(), queue));
        tokio::spawn(shop.clone().settle_regularly());
        shop
    }

    pub(crate) fn stock(&self, campaign: &str) -> Stock {
        Stock::new(self.stocks.clone(), campaign)
    }

    pub(crate) async fn issue(&self, campaign: &str, user: &str) -> Result<(), Refused> {
        let stock = self.stock(campaign);
        for attempt in 1..=MAX_ATTEMPTS {
            let id = format!("{user}:{attempt}");
            match stock.reserve(&id, 1, self.hold).await? {
                Reserve::SoldOut { .. } => return Err(Refused(StatusCode::CONFLICT, "sold out".into())),
                // An earlier request was abandoned for too long.
                Reserve::Ended(Ended::Expired | Ended::Released) => continue,
                Reserve::Reserved { .. } | Reserve::Ended(Ended::Confirmed) => {}
            }
            let (written, is_written) = oneshot::channel();
            self.rows.send(Row { campaign: campaign.into(), user: user.into(), attempt, written }).await?;
            is_written.await?.map_err(|reason| Refused(StatusCode::SERVICE_UNAVAILABLE, reason))?;
            // From here on the coupon is the user's, also if this process dies.
            match stock.confirm(&id).await {
                Err(StockError::Expired { .. }) => continue,
                confirmed => return Ok(confirmed?),
            }
        }
        Err(Refused(StatusCode::CONFLICT, format!("`{user}` has begun and abandoned too many requests")))
    }

    /// Each process may do this; together they do nothing twice.
    async fn settle_regularly(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            // While a server is away nothing is settled; the next tick tries again.
            while self.settle().await.is_ok_and(|rows| rows == 1_000) {}
        }
    }

    /// Completes rows whose process may have died, removes those whose reservation has expired, and
    /// expires reservations without a row. Returns the number of rows.
    async fn settle(&self) -> Result<usize, Refused> {
        let select = "SELECT campaign, user_id, attempt FROM coupons WHERE is_settled = 0
                      ORDER BY campaign, user_id LIMIT 1000";
        let mut rows: Vec<(String, String, i64)> = sqlx::query_as(select).fetch_all(&self.sql).await?;
        // In the order of a batch, which may change the same rows. That of SQL depends on the locale.
        rows.sort();
        let mut changes = Vec::with_capacity(rows.len());
        for (campaign, user, attempt) in &rows {
            changes.push(match self.stock(campaign).confirm(&format!("{user}:{attempt}")).await {
                Ok(()) => SETTLED,
                Err(StockError::Expired { .. }) => EXPIRED,
                Err(error @ StockError::Store(_)) => return Err(error.into()),
                Err(_) => LOST,
            });
        }
        // Rows are locked for as long as this takes, so nothing else is waited for.
        let mut sql = self.sql.begin().await?;
        for ((campaign, user, attempt), change) in rows.iter().zip(changes) {
            sqlx::query(change).bind(campaign).bind(user).bind(attempt).execute(&mut *sql).await?;
        }
        sql.commit().await?;
        let select = "SELECT name FROM campaigns WHERE has_ended = 0";
        let campaigns: Vec<String> = sqlx::query_scalar(select).fetch_all(&self.sql).await?;
        for campaign in campaigns {
            self.stock(&campaign).sweep(1_000).await?;
            if self.stock(&campaign).counts().await.is_ok_and(|counts| counts.sold == counts.total) {
                let end = sqlx::query("UPDATE campaigns SET has_ended = 1 WHERE name = $1");
                end.bind(campaign).execute(&self.sql).await?;
            }
        }
        Ok(rows.len())
    }
}

/// Writes one batch after the other: a commit costs more than a row. What arrives meanwhile is the
/// next batch.
async fn write_batches(sql: AnyPool, mut queue: mpsc::Receiver<Row>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        // A row may be locked for long by another process. No other user waits longer for it.
        let written = match timeout(PATIENCE, write(&sql, &batch)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err(format!("SQL gave no answer within {PATIENCE:?}")),
        };
        for row in batch.drain(..) {
            // Fails if the client has gone.
            let _ = row.written.send(written.clone());
        }
    }
}

async fn write(sql: &AnyPool, batch: &[Row]) -> Result<(), sqlx::Error> {
    // A statement changes a row once. In order, since two statements that change the same rows in
    // different orders would wait for each other.
    let mut rows = BTreeMap::new();
    for Row { campaign, user, attempt, .. } in batch {
        let last = rows.entry((campaign, user)).or_insert(*attempt);
        *last = (*last).max(*attempt);
    }
    let values: Vec<_> =
        (0..rows.len()).map(|i| 3 * i).map(|i| format!("(${}, ${}, ${})", i + 1, i + 2, i + 3)).collect();
    // A row of an earlier attempt holds no coupon, nor does one that Redis has lost.
    let insert = format!(
        "INSERT INTO coupons (campaign, user_id, attempt) VALUES {}
         ON CONFLICT (campaign, user_id) DO UPDATE SET attempt = excluded.attempt, is_settled = 0
         WHERE coupons.attempt < excluded.attempt OR coupons.is_settled = 2",
        values.join(", ")
    );
    let mut insert = sqlx::query(AssertSqlSafe(insert));
    for ((campaign, user), attempt) in rows {
        insert = insert.bind(campaign).bind(user).bind(attempt);
    }
    insert.execute(sql).await?;
    Ok(())
}
