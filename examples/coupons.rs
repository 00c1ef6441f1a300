//! Coupons for the first users to ask: one each, and never more than there are.
//!
//! [`Stock`] counts in one atomic step, the SQL table is the record. A process may die between the
//! two, so the steps are: reserve, write the row, confirm. The next request of the same user has
//! the same reservation, so a repeat completes it. Without a repeat, [`Shop::settle`] completes it,
//! or the reservation expires after `HOLD_SECONDS` and the row is deleted.
//!
//! ```text
//! cargo run --release --example coupons          # everything in memory, for one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example coupons      # for many processes
//!
//! curl -i localhost:8080/campaigns --json '{"campaign":"spring","coupons":100}'
//! curl -i localhost:8080/campaigns/spring/coupons --json '{"user":"user-1"}'
//! curl localhost:8080/campaigns/spring
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Path, State, rejection::JsonRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AnyPool, any::AnyPoolOptions};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Ended, Lock, MemoryStore, PermitStore, RedisStore, Reserve, Stock, StockError, StockStore};

const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// A user with this number of expired reservations gets no coupon for a day.
const MAX_ATTEMPTS: i64 = 20;

/// A row of `coupons` is the user's once its reservation, `user:attempt`, is confirmed. `settle`
/// sets `is_settled` soon after.
const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS campaigns (name TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS coupons (campaign TEXT, user_id TEXT, attempt BIGINT NOT NULL,
         is_settled BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (campaign, user_id))",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
     INSERT INTO users SELECT 'user-' || i FROM n WHERE true ON CONFLICT DO NOTHING",
];

const SETTLED: &str = "UPDATE coupons SET is_settled = 1 WHERE campaign = $1 AND user_id = $2 AND attempt = $3";
const EXPIRED: &str = "DELETE FROM coupons WHERE campaign = $1 AND user_id = $2 AND attempt = $3";

#[derive(Clone)]
struct Shop {
    sql: AnyPool,
    stocks: Arc<dyn StockStore>,
    /// How long a reservation waits for its confirmation.
    hold: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (stocks, locks): (Arc<dyn StockStore>, Arc<dyn PermitStore>) = match env::var("REDIS_URL") {
        Ok(url) => {
            let client = Client::connect(&Config::parse(&url)?, Role::Durable).await?;
            let store = RedisStore::new(client, Keyspace::new("coupons")?);
            (Arc::new(store.clone()), Arc::new(store))
        }
        Err(_) => (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())),
    };
    sqlx::any::install_default_drivers();
    // Without a server the tables live in one connection, for as long as it does.
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let connections = if url.starts_with("sqlite") { 1 } else { 16 };
    let pool = AnyPoolOptions::new().min_connections(connections).max_connections(connections);
    let sql = pool.idle_timeout(None).max_lifetime(None).connect(&url).await?;
    // One process at a time creates the tables: PostgreSQL fails if two create one table.
    let guard = Lock::new(locks, "tables").acquire(Duration::from_secs(20)).await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&sql).await?;
    }
    guard.release().await?;

    let hold = env::var("HOLD_SECONDS").map_or(Ok(30), |seconds| seconds.parse());
    let hold = hold.context("HOLD_SECONDS must be a whole number")?;
    let shop = Shop { sql, stocks, hold: Duration::from_secs(hold) };
    tokio::spawn(shop.clone().settle_regularly());
    let router = Router::new()
        .route("/campaigns", post(create))
        .route("/campaigns/{campaign}", get(campaign))
        .route("/campaigns/{campaign}/coupons", post(issue))
        .with_state(shop);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize)]
struct Campaign {
    campaign: String,
    coupons: u64,
}

/// A repeat with the same number of coupons changes nothing.
async fn create(State(shop): State<Shop>, body: Body<Campaign>) -> Answer {
    let Json(Campaign { campaign, coupons }) = body?;
    // In SQL first, so that `settle` knows the campaign before there is a reservation.
    let insert = sqlx::query("INSERT INTO campaigns VALUES ($1) ON CONFLICT DO NOTHING");
    insert.bind(name(&campaign)?).execute(&shop.sql).await?;
    shop.stock(&campaign).add("opening", coupons).await?;
    Ok((StatusCode::CREATED, Json(json!({ "campaign": campaign, "coupons": coupons }))))
}

#[derive(Deserialize)]
struct Wish {
    user: String,
}

/// Gives the user a coupon. A user that has one gets the same again.
async fn issue(State(shop): State<Shop>, Path(campaign): Path<String>, body: Body<Wish>) -> Answer {
    let Json(Wish { user }) = body?;
    let select = "SELECT is_settled FROM users LEFT JOIN coupons ON campaign = $1 AND user_id = id WHERE id = $2";
    let select = sqlx::query_scalar(select).bind(name(&campaign)?).bind(name(&user)?);
    let found: Option<Option<i64>> = select.fetch_optional(&shop.sql).await?;
    let is_settled = found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no user `{user}`")))?;
    if is_settled != Some(1) {
        shop.issue(&campaign, &user).await?;
    }
    Ok((StatusCode::CREATED, Json(json!({ "coupon": format!("{campaign}/{user}") }))))
}

/// A name that PostgreSQL takes into an index.
fn name(text: &str) -> Result<&str, Refused> {
    if (1..=100).contains(&text.len()) && !text.contains('\0') {
        return Ok(text);
    }
    Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("`{text}` is no name: 1 to 100 bytes, without NUL")))
}

impl Shop {
    fn stock(&self, campaign: &str) -> Stock {
        Stock::new(self.stocks.clone(), campaign)
    }

    async fn issue(&self, campaign: &str, user: &str) -> Result<(), Refused> {
        let stock = self.stock(campaign);
        for attempt in 1..=MAX_ATTEMPTS {
            let id = format!("{user}:{attempt}");
            match stock.reserve(&id, 1, self.hold).await? {
                Reserve::SoldOut { .. } => return Err(Refused(StatusCode::CONFLICT, "sold out".into())),
                // An earlier request was abandoned for too long.
                Reserve::Ended(Ended::Expired | Ended::Released) => continue,
                Reserve::Reserved { .. } | Reserve::Ended(Ended::Confirmed) => {}
            }
            // A row of an earlier attempt holds no coupon any more.
            let insert = "INSERT INTO coupons (campaign, user_id, attempt) VALUES ($1, $2, $3)
                          ON CONFLICT (campaign, user_id) DO UPDATE SET attempt = excluded.attempt
                          WHERE coupons.attempt < excluded.attempt";
            sqlx::query(insert).bind(campaign).bind(user).bind(attempt).execute(&self.sql).await?;
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
        let mut tick = tokio::time::interval(SETTLE_EVERY);
        loop {
            tick.tick().await;
            // While a server is away nothing is settled; the next tick tries again.
            let _ = self.settle().await;
        }
    }

    /// Completes rows whose process may have died, removes those whose reservation has expired, and
    /// sweeps the expired reservations that have no row.
    async fn settle(&self) -> Result<(), Refused> {
        let select = "SELECT campaign, user_id, attempt FROM coupons WHERE is_settled = 0
                      ORDER BY campaign, user_id LIMIT 1000";
        let rows: Vec<(String, String, i64)> = sqlx::query_as(select).fetch_all(&self.sql).await?;
        let mut changes = Vec::new();
        for (campaign, user, attempt) in rows {
            match self.stock(&campaign).confirm(&format!("{user}:{attempt}")).await {
                Ok(()) => changes.push((SETTLED, campaign, user, attempt)),
                Err(StockError::Expired { .. }) => changes.push((EXPIRED, campaign, user, attempt)),
                Err(error @ StockError::Store(_)) => return Err(error.into()),
                // Redis has forgotten the reservation: left to a person.
                Err(_) => {}
            }
        }
        let mut sql = self.sql.begin().await?;
        for (change, campaign, user, attempt) in changes {
            sqlx::query(change).bind(campaign).bind(user).bind(attempt).execute(&mut *sql).await?;
        }
        sql.commit().await?;
        let campaigns: Vec<String> = sqlx::query_scalar("SELECT name FROM campaigns").fetch_all(&self.sql).await?;
        for campaign in campaigns {
            self.stock(&campaign).sweep(1_000).await?;
        }
        Ok(())
    }
}

/// The count from Redis, and what the table has.
async fn campaign(State(shop): State<Shop>, Path(campaign): Path<String>) -> Answer {
    let counts = shop.stock(&campaign).counts().await?;
    let select = "SELECT COUNT(*), COUNT(CASE WHEN is_settled = 0 THEN 1 END) FROM coupons WHERE campaign = $1";
    let (rows, unsettled): (i64, i64) = sqlx::query_as(select).bind(name(&campaign)?).fetch_one(&shop.sql).await?;
    let answer = json!({
        "coupons": counts.total, "remaining": counts.available, "reserved": counts.reserved, "issued": counts.sold,
        "rows": rows, "unsettled_rows": unsettled,
    });
    Ok((StatusCode::OK, Json(answer)))
}

type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<(StatusCode, Json<Value>), Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

impl<E: Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let any = &error as &(dyn Error + 'static);
        if let Some(body) = any.downcast_ref::<JsonRejection>() {
            return Refused(body.status(), body.body_text());
        }
        let status = match any.downcast_ref() {
            Some(StockError::Quantity(_) | StockError::Reused { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Some(StockError::NoStock { .. }) => StatusCode::NOT_FOUND,
            // A server is away, or took too long: the same request may succeed later.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
