//! Coupons for the first users to ask: one each, and never more than there are.
//!
//! [`Stock`] counts in one atomic step, the SQL table is the record. A process may die between the
//! two, so the steps are: reserve, write the row, confirm. The next request of the same user has
//! the same reservation, so a repeat completes it. Without a repeat, [`Shop::settle`] completes it,
//! or the reservation expires after `HOLD_SECONDS` and the row is deleted. A crash of Redis loses
//! reservations, unless it runs with `appendonly yes` and `appendfsync always`.
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

mod batches;
mod shop;

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::extract::{Path, State, rejection::JsonRejection, rejection::PathRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Lock, MemoryStore, PermitStore, RedisStore, StockError, StockStore};

use shop::Shop;

/// A row of `coupons` is the user's once its reservation, `user:attempt`, is confirmed. `settle`
/// then sets `is_settled` to 1, or to 2 if Redis has lost the reservation.
const TABLES: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS campaigns (name TEXT PRIMARY KEY, has_ended BIGINT NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS coupons (campaign TEXT, user_id TEXT, attempt BIGINT NOT NULL,
         is_settled BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (campaign, user_id))",
    "CREATE INDEX IF NOT EXISTS coupons_to_settle ON coupons (campaign, user_id) WHERE is_settled = 0",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
     INSERT INTO users SELECT 'user-' || i FROM n WHERE true ON CONFLICT DO NOTHING",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let servers = (env::var("REDIS_URL"), env::var("DATABASE_URL"));
    let (stocks, locks, url): (Arc<dyn StockStore>, Arc<dyn PermitStore>, _) = match servers {
        (Ok(redis), Ok(database)) => {
            let client = Client::connect(&Config::parse(&redis)?, Role::Durable).await?;
            let store = RedisStore::new(client, Keyspace::new("coupons")?);
            (Arc::new(store.clone()), Arc::new(store), database)
        }
        (Err(_), Err(_)) => (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()), "sqlite::memory:".to_owned()),
        (Ok(_), _) => bail!("set both REDIS_URL and DATABASE_URL, or neither: REDIS_URL is set alone"),
        (_, Ok(_)) => bail!("set both REDIS_URL and DATABASE_URL, or neither: DATABASE_URL is set alone"),
    };
    sqlx::any::install_default_drivers();
    // Without a server the tables live in one connection. A look at it that breaks off closes it.
    let (most, looks) = if url.starts_with("sqlite") { (1, false) } else { (16, true) };
    let pool = AnyPoolOptions::new().max_connections(most).test_before_acquire(looks);
    let sql = pool.acquire_timeout(Duration::from_secs(5)).idle_timeout(None).max_lifetime(None).connect(&url).await?;
    // One process at a time creates the tables: PostgreSQL fails if two create one table.
    let guard = Lock::new(locks, "tables").acquire(Duration::from_secs(20)).await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&sql).await?;
    }
    guard.release().await?;
    let hold = env::var("HOLD_SECONDS").map_or(Ok(30), |seconds| seconds.parse());
    let hold = hold.context("HOLD_SECONDS must be a whole number")?;
    ensure!(hold > 0, "HOLD_SECONDS must be above 0");
    let shop = Shop::start(sql, stocks, Duration::from_secs(hold));
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
    coupons: std::num::NonZeroU32,
}

/// A repeat with the same number of coupons changes nothing.
async fn create(State(shop): State<Shop>, body: Body<Campaign>) -> Answer {
    let Json(Campaign { campaign, coupons }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    // In SQL first, so that `settle` knows the campaign before there is a reservation.
    let insert = sqlx::query("INSERT INTO campaigns (name) VALUES ($1) ON CONFLICT DO NOTHING");
    insert.bind(name(&campaign)?).execute(&shop.sql).await?;
    shop.stock(&campaign).add("opening", coupons.get().into()).await?;
    Ok((StatusCode::CREATED, Json(json!({ "campaign": campaign, "coupons": coupons }))))
}

#[derive(Deserialize)]
struct Wish {
    user: String,
}

/// Gives the user a coupon. A user that has one gets the same again.
async fn issue(State(shop): State<Shop>, campaign: Result<Path<String>, PathRejection>, body: Body<Wish>) -> Answer {
    let Path(campaign) = campaign.map_err(|error| Refused(error.status(), error.body_text()))?;
    let Json(Wish { user }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    shop.issue(name(&campaign)?, name(&user)?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "coupon": format!("{campaign}/{user}") }))))
}

/// A name that PostgreSQL takes into an index.
fn name(text: &str) -> Result<&str, Refused> {
    if (1..=100).contains(&text.len()) && !text.contains('\0') {
        return Ok(text);
    }
    Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("`{text}` is no name: 1 to 100 bytes, without NUL")))
}

/// The count from Redis, and what the table has.
async fn campaign(State(shop): State<Shop>, campaign: Result<Path<String>, PathRejection>) -> Answer {
    let Path(campaign) = campaign.map_err(|error| Refused(error.status(), error.body_text()))?;
    let select = "SELECT COUNT(user_id), COUNT(CASE WHEN is_settled = 0 THEN 1 END)
                  FROM campaigns LEFT JOIN coupons ON campaign = name WHERE name = $1 GROUP BY name";
    let found: Option<(i64, i64)> = sqlx::query_as(select).bind(name(&campaign)?).fetch_optional(&shop.sql).await?;
    let (rows, unsettled) = found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("no campaign `{campaign}`")))?;
    let counts = shop.stock(&campaign).counts().await?;
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
        let status = match (&error as &(dyn Error + 'static)).downcast_ref() {
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
