//! A time sale: 10,000 pieces, thousands of users, and not one piece sold twice.
//!
//! Stock check and decrement are one atomic step. An order holds its pieces for 10 minutes, or for
//! `PAY_WITHIN_SECONDS`. An unpaid order then gives them back. A repeated request gets the same
//! order, until 24 hours after the order was paid, cancelled or given up.
//!
//! By default a crash of Redis loses the last second, or everything: run it with `appendonly yes`
//! and `appendfsync always`, so that no piece is sold again.
//!
//! ```text
//! cargo run --release --example time_sale                                        # in memory
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --example time_sale       # many processes
//!
//! curl -i localhost:8080/orders -H 'Idempotency-Key: 1' --json '{"user":"ada","quantity":2}'
//! curl -i -X POST localhost:8080/orders/ada:1/payment
//! curl localhost:8080/stock
//! curl -X PUT localhost:8080/stock/second --json '{"pieces":500}'      # added once
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use mimalloc::MiMalloc;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Ended, MemoryStore, RedisStore, Reserve, Stock, StockError, StockStore};

/// Tasks free on one thread what another one has allocated. This allocator needs no lock for that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PIECES: u64 = 10_000;
/// Most pieces of one order.
const MAX_QUANTITY: u64 = 10;
/// Most seconds that an order waits for its payment.
const DAY: u64 = 24 * 3600;
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEPT_AT_ONCE: u32 = 1_000;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

#[derive(Clone)]
struct Sale {
    stock: Stock,
    /// How long an order holds its pieces without a payment.
    pay_within: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store: Arc<dyn StockStore> = match env::var("REDIS_URL") {
        Ok(url) => {
            let client = Client::connect(&Config::parse(&url)?, Role::Durable).await?;
            Arc::new(RedisStore::new(client, Keyspace::new("time-sale")?))
        }
        Err(_) => Arc::new(MemoryStore::new()),
    };
    let pay_within = env::var("PAY_WITHIN_SECONDS").map_or(Ok(600), |seconds| seconds.parse());
    let pay_within = pay_within.context("PAY_WITHIN_SECONDS must be a whole number of seconds")?;
    ensure!((1..=DAY).contains(&pay_within), "PAY_WITHIN_SECONDS must be from 1 to {DAY}, a day");
    let pay_within = Duration::from_secs(pay_within);
    let sale = Sale { stock: Stock::new(store, "sneaker"), pay_within };
    // Added once, however many processes start.
    let opened = sale.stock.add("opening", PIECES).await;
    opened.context("PIECES could not be added: their number must be that of the first start")?;
    tokio::spawn(give_back_unpaid(sale.stock.clone()));

    let router = Router::new()
        .route("/orders", post(order))
        .route("/orders/{id}/payment", post(pay))
        .route("/orders/{id}/cancellation", post(cancel))
        .route("/stock", get(stock))
        .route("/stock/{batch}", put(add))
        .with_state(sale);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize)]
struct Order {
    user: String,
    quantity: u64,
}

/// Reserves the pieces. The client names the order by its `Idempotency-Key`.
async fn order(
    State(sale): State<Sale>,
    headers: HeaderMap,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let Json(order) = order?;
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let is_forbidden = |letter: char| letter == ':' || letter.is_control();
    if !(1..=100).contains(&order.user.len()) || order.user.contains(is_forbidden) {
        let text = "user must have a name without `:` and control characters, of 1 to 100 bytes";
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, text.into()));
    }
    if order.quantity > MAX_QUANTITY {
        let text = format!("quantity is {}, and at most {MAX_QUANTITY}", order.quantity);
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let id = format!("{}:{key}", order.user);
    match sale.stock.reserve(&id, order.quantity, sale.pay_within).await? {
        Reserve::Reserved { expires_in } => {
            Ok((StatusCode::CREATED, Json(json!({ "order": id, "pay_within_seconds": expires_in.as_secs() }))))
        }
        Reserve::Ended(Ended::Confirmed) => Ok((StatusCode::CREATED, Json(json!({ "order": id, "state": "paid" })))),
        Reserve::SoldOut { left } => Err(Refused(StatusCode::CONFLICT, format!("sold out: {left} left"))),
        Reserve::Ended(Ended::Released) => Err(Refused(StatusCode::CONFLICT, "the order was cancelled".into())),
        Reserve::Ended(Ended::Expired) => Err(Refused(StatusCode::CONFLICT, "the order was not paid in time".into())),
    }
}

type Id = Result<Path<String>, PathRejection>;

async fn pay(State(sale): State<Sale>, id: Id) -> Result<Json<Value>, Refused> {
    let Path(id) = id?;
    sale.stock.confirm(&id).await?;
    Ok(Json(json!({ "order": id, "state": "paid" })))
}

async fn cancel(State(sale): State<Sale>, id: Id) -> Result<Json<Value>, Refused> {
    let Path(id) = id?;
    sale.stock.release(&id).await?;
    Ok(Json(json!({ "order": id, "state": "cancelled" })))
}

async fn stock(State(sale): State<Sale>) -> Result<Json<Value>, Refused> {
    let counts = sale.stock.counts().await?;
    Ok(Json(json!({
        "available": counts.available,
        "reserved": counts.reserved,
        "sold": counts.sold,
        "total": counts.total,
    })))
}

#[derive(Deserialize)]
struct Batch {
    pieces: u64,
}

/// Adds pieces. A batch is added once.
async fn add(
    State(sale): State<Sale>,
    id: Id,
    batch: Result<Json<Batch>, JsonRejection>,
) -> Result<Json<Value>, Refused> {
    let (Path(id), Json(Batch { pieces })) = (id?, batch?);
    if id.len() > 100 {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, "a batch has a name of 1 to 100 bytes".into()));
    }
    sale.stock.add(&format!("batch {id}"), pieces).await?;
    Ok(Json(json!({ "batch": id, "pieces": pieces })))
}

/// Makes the pieces of unpaid orders available again. Each process may do so.
async fn give_back_unpaid(stock: Stock) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        // While the store is away, orders keep their pieces; the next tick tries again.
        while stock.sweep(SWEPT_AT_ONCE).await.is_ok_and(|swept| swept.expired >= SWEPT_AT_ONCE.into()) {}
    }
}

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

impl From<JsonRejection> for Refused {
    fn from(error: JsonRejection) -> Self {
        Self(error.status(), error.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(error: PathRejection) -> Self {
        Self(error.status(), error.body_text())
    }
}

impl From<StockError> for Refused {
    fn from(error: StockError) -> Self {
        let status = match &error {
            StockError::Quantity(_) | StockError::Reused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            StockError::NoReservation { .. } | StockError::NoStock { .. } => StatusCode::NOT_FOUND,
            StockError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
