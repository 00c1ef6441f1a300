//! Reserve, write the row, confirm; and what completes it if a process dies between the steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use sqlx::{AnyPool, AssertSqlSafe};
use tidegate_sync::{Ended, Reserve, Stock, StockError, StockStore};

use crate::Refused;
use crate::batches::Batches;

/// A user with this number of expired reservations gets no coupon for a day.
const MAX_ATTEMPTS: i64 = 20;

const SETTLED: &str = "UPDATE coupons SET is_settled = 1 WHERE campaign = $1 AND user_id = $2 AND attempt = $3";
const LOST: &str = "UPDATE coupons SET is_settled = 2 WHERE campaign = $1 AND user_id = $2 AND attempt = $3";
const EXPIRED: &str = "DELETE FROM coupons WHERE campaign = $1 AND user_id = $2 AND attempt = $3";

#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) sql: AnyPool,
    stocks: Arc<dyn StockStore>,
    hold: Duration,
    wishes: Batches<Wish, Option<Found>>,
    rows: Batches<Row, ()>,
}

struct Wish {
    campaign: String,
    user: String,
}

/// A user that exists.
struct Found {
    /// Whether it has the coupon for good.
    has_coupon: bool,
}

struct Row {
    campaign: String,
    user: String,
    attempt: i64,
}

impl Shop {
    pub(crate) fn start(sql: AnyPool, stocks: Arc<dyn StockStore>, hold: Duration) -> Self {
        let (wishes, rows) = (sql.clone(), sql.clone());
        let wishes = Batches::start(move |batch| find(wishes.clone(), batch));
        let rows = Batches::start(move |batch| write(rows.clone(), batch));
        let shop = Self { sql, stocks, hold, wishes, rows };
        tokio::spawn(shop.clone().settle_regularly());
        shop
    }

    pub(crate) fn stock(&self, campaign: &str) -> Stock {
        Stock::new(self.stocks.clone(), campaign)
    }

    /// Gives the user a coupon, or leaves the one that it has.
    pub(crate) async fn issue(&self, campaign: &str, user: &str) -> Result<(), Refused> {
        let found = self.wishes.run(Wish { campaign: campaign.into(), user: user.into() }).await?;
        if found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no user `{user}`")))?.has_coupon {
            return Ok(());
        }
        let stock = self.stock(campaign);
        for attempt in 1..=MAX_ATTEMPTS {
            let id = format!("{user}:{attempt}");
            match stock.reserve(&id, 1, self.hold).await? {
                Reserve::SoldOut { .. } => return Err(Refused(StatusCode::CONFLICT, "sold out".into())),
                // An earlier request was abandoned for too long.
                Reserve::Ended(Ended::Expired | Ended::Released) => continue,
                Reserve::Reserved { .. } | Reserve::Ended(Ended::Confirmed) => {}
            }
            self.rows.run(Row { campaign: campaign.into(), user: user.into(), attempt }).await?;
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
        // In the order of a batch, which may change the same rows. The order of SQL depends on its
        // locale.
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

/// A user, and whether its coupon of a campaign is settled. `None` if there is no such user.
async fn find(sql: AnyPool, wishes: Vec<Wish>) -> Result<Vec<Option<Found>>, sqlx::Error> {
    let select = format!(
        "WITH wishes (campaign, user_id) AS (VALUES {})
         SELECT wishes.campaign, id, is_settled FROM wishes JOIN users ON id = wishes.user_id
         LEFT JOIN coupons ON coupons.campaign = wishes.campaign AND coupons.user_id = id",
        values(wishes.len(), 2)
    );
    let mut select = sqlx::query_as(AssertSqlSafe(select));
    for Wish { campaign, user } in &wishes {
        select = select.bind(campaign).bind(user);
    }
    let rows: Vec<(String, String, Option<i64>)> = select.fetch_all(&sql).await?;
    let rows: BTreeMap<_, _> = rows.into_iter().map(|(campaign, user, settled)| ((campaign, user), settled)).collect();
    let found = wishes.into_iter().map(|Wish { campaign, user }| {
        let is_settled = rows.get(&(campaign, user))?;
        Some(Found { has_coupon: *is_settled == Some(1) })
    });
    Ok(found.collect())
}

/// Writes rows that are not confirmed yet.
async fn write(sql: AnyPool, batch: Vec<Row>) -> Result<Vec<()>, sqlx::Error> {
    // A statement changes a row once. In order, since two statements that change the same rows in
    // different orders would wait for each other.
    let mut rows = BTreeMap::new();
    for Row { campaign, user, attempt } in &batch {
        let last = rows.entry((campaign, user)).or_insert(*attempt);
        *last = (*last).max(*attempt);
    }
    // A row of an earlier attempt holds no coupon, nor does one that Redis has lost.
    let insert = format!(
        "INSERT INTO coupons (campaign, user_id, attempt) VALUES {}
         ON CONFLICT (campaign, user_id) DO UPDATE SET attempt = excluded.attempt, is_settled = 0
         WHERE coupons.attempt < excluded.attempt OR coupons.is_settled = 2",
        values(rows.len(), 3)
    );
    let mut insert = sqlx::query(AssertSqlSafe(insert));
    for ((campaign, user), attempt) in rows {
        insert = insert.bind(campaign).bind(user).bind(attempt);
    }
    insert.execute(&sql).await?;
    Ok(vec![(); batch.len()])
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
fn values(rows: usize, columns: usize) -> String {
    let row = |row| (1..=columns).map(|column| format!("${}", row * columns + column)).collect::<Vec<_>>().join(", ");
    (0..rows).map(|number| format!("({})", row(number))).collect::<Vec<_>>().join(", ")
}
