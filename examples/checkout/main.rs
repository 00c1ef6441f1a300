//! A checkout of four services: a slow one does not slow the others, and no order stays half done.
//!
//! - A user takes a coupon, earns points, reads the balance, and orders. `Stock` counts coupons and
//!   pieces, `Ledger` the points, and the cache has the balances (`shop.rs`).
//! - Each service has its own bulkhead, breaker and time-out (`service.rs`). `/health` shows the
//!   breakers, and `PUT /services/{service}/delay` makes one service slow.
//! - An order is three writes: reserve the pieces, take the points, confirm. After the first write,
//!   a delayed job is stored. It repeats the other two, in case the process dies.
//! - A repeated write changes nothing for two days. A job that could not run for a day is
//!   cancelled: no outage makes it take points twice. `/totals` then shows points without pieces.
//! - Redis needs `appendonly yes` and `appendfsync always`. Else its crash may lose an order that
//!   was acknowledged.
//!
//! The environment sets the number of `COUPONS` and `PIECES`, and after how many seconds without a
//! confirmation a reservation expires (`HOLD_SECONDS`).
//!
//! ```text
//! cargo run --release --example checkout                                      # in memory
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --example checkout     # many processes
//!
//! curl -i -X PUT localhost:8080/users/ada
//! curl -i -X POST localhost:8080/users/ada/coupon
//! curl -i localhost:8080/users/ada/earnings -H 'Idempotency-Key: 1' --json '{"points":250}'
//! curl localhost:8080/users/ada/balance
//! curl -i localhost:8080/users/ada/orders -H 'Idempotency-Key: 2' --json '{"quantity":2}'
//! curl -X PUT localhost:8080/services/coupon/delay --json '{"ms":5000}'     # and take coupons
//! curl localhost:8080/health
//! curl localhost:8080/totals
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

mod service;
mod shop;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::extract::{Path, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate_cache::{Capacity, RedisTier, TieredCache, TtlClass};
use tidegate_queue::{Broker, Job, MemoryBroker, Producer, QueueOptions, RedisBroker, RedisOptions, Worker};
use tidegate_redis::{BlockingPool, Client, Config, Keyspace, Role};
use tidegate_sync::{Ledger, LedgerStore, MemoryStore, RedisStore, Stock, StockStore};
use tokio_util::sync::CancellationToken;

use service::{Refused, Service, refuse_in_json};
use shop::{DAY, Order, Shop, settle};

/// A load is one round trip, so no process waits for the load of another one.
const BALANCES: TtlClass = TtlClass::new("balances", Duration::from_secs(60)).load_wait(Duration::ZERO);
const MAX_DELAY_MS: u64 = 60_000;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

/// The stores of stocks, points and jobs.
type Stores = (Arc<dyn StockStore>, Arc<dyn LedgerStore>, Arc<dyn Broker>);

struct App {
    coupon: Service,
    earn: Service,
    balance: Service,
    order: Service,
    shop: Shop,
}

impl App {
    fn services(&self) -> [(&'static str, &Service); 4] {
        [("coupon", &self.coupon), ("earn", &self.earn), ("balance", &self.balance), ("order", &self.order)]
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ((stocks, points, broker), cache): (Stores, _) = match env::var("REDIS_URL") {
        Ok(url) => {
            let (config, keyspace) = (Config::parse(&url)?, Keyspace::new("checkout")?);
            let client = Client::connect(&config, Role::Durable).await?;
            let store = Arc::new(RedisStore::new(client.clone(), keyspace.clone()));
            // No balance fits into the memory of the process, so each read asks Redis.
            let tier = RedisTier::new(Client::connect(&config, Role::Cache).await?, &keyspace);
            let cache = TieredCache::builder().capacity(Capacity::Bytes(1)).l2(tier);
            let pool = BlockingPool::new(&config, Role::Durable, 1);
            let broker = RedisBroker::connect(client, pool, keyspace, RedisOptions::new());
            ((store.clone(), store, Arc::new(broker)), cache)
        }
        Err(_) => {
            let store = Arc::new(MemoryStore::new());
            ((store.clone(), store, Arc::new(MemoryBroker::new())), TieredCache::builder())
        }
    };
    let hold = Duration::from_secs(number("HOLD_SECONDS", 30)?);
    ensure!(!hold.is_zero() && hold <= DAY, "HOLD_SECONDS must be from 1 to {}, a day", DAY.as_secs());
    let shop = Shop {
        // A user's coupon is remembered for a year.
        coupons: Stock::new(stocks.clone(), "coupons").horizon(365 * DAY),
        pieces: Stock::new(stocks, "pieces").horizon(3 * DAY),
        ledger: Ledger::new(points, "points").horizon(2 * DAY),
        balances: cache.build().typed_with_codec(BALANCES, tidegate_cache::Json::new()),
        jobs: Producer::new(broker.clone()),
        hold,
    };
    shop.open(number("COUPONS", 1_000)?, number("PIECES", 10_000)?).await?;
    tokio::spawn(shop.clone().give_back_abandoned());
    // A job runs until it has succeeded, however many of its processes die.
    let options = QueueOptions::new().max_lost_leases(u32::MAX);
    let worker = Worker::builder(broker).queue(Order::QUEUE, options).data(shop.clone()).handler(settle);
    tokio::spawn(worker.build()?.run(CancellationToken::new()));

    let app = App {
        coupon: Service::new("coupon")?,
        earn: Service::new("earn")?,
        balance: Service::new("balance")?,
        order: Service::new("order")?,
        shop,
    };
    let router = Router::new()
        .route("/users/{user}", put(sign_up))
        .route("/users/{user}/coupon", post(coupon))
        .route("/users/{user}/earnings", post(earn))
        .route("/users/{user}/balance", get(balance))
        .route("/users/{user}/orders", post(order))
        .route("/services/{service}/delay", put(delay))
        .route("/health", get(health))
        .route("/totals", get(totals))
        .route_layer(from_fn(check_names))
        .layer(map_response(refuse_in_json))
        .with_state(Arc::new(app));
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// A whole number from the environment.
fn number(name: &str, default: u64) -> anyhow::Result<u64> {
    let number = env::var(name).map_or(Ok(default), |text| text.parse());
    number.with_context(|| format!("{name} must be a whole number"))
}

/// Ids are made of the name of a user, a line break and more.
async fn check_names(names: RawPathParams, request: Request, next: Next) -> Result<Response, Refused> {
    if let Some((field, _)) = names.iter().find(|(_, name)| name.len() > 100 || name.contains(char::is_control)) {
        let reason = format!("{field} has from 1 to 100 bytes, and no line break or other control character");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    Ok(next.run(request).await)
}

async fn sign_up(State(app): State<Arc<App>>, Path(user): Path<String>) -> Answer {
    app.shop.sign_up(&user).await?;
    Ok((StatusCode::CREATED, Json(json!({ "user": user }))))
}

async fn coupon(State(app): State<Arc<App>>, Path(user): Path<String>) -> Answer {
    app.coupon.call(|| app.shop.issue(&user)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "coupon": user }))))
}

#[derive(Deserialize)]
struct Points {
    points: u64,
}

async fn earn(State(app): State<Arc<App>>, Path(user): Path<String>, headers: HeaderMap, body: Json<Points>) -> Answer {
    let (id, points) = (posting_id(&headers, &user)?, body.points);
    let balance = app.earn.call(|| app.shop.earn(&id, &user, points)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "balance": balance }))))
}

async fn balance(State(app): State<Arc<App>>, Path(user): Path<String>) -> Answer {
    let balance = app.balance.call(|| app.shop.balance(&user)).await?;
    Ok((StatusCode::OK, Json(json!({ "balance": balance }))))
}

#[derive(Deserialize)]
struct Wish {
    quantity: u64,
}

async fn order(State(app): State<Arc<App>>, Path(user): Path<String>, headers: HeaderMap, body: Json<Wish>) -> Answer {
    let order = Order { id: posting_id(&headers, &user)?, user, quantity: body.quantity };
    let balance = app.order.call(|| app.shop.order(&order)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "quantity": order.quantity, "balance": balance }))))
}

#[derive(Deserialize)]
struct Delay {
    ms: u64,
}

/// Makes one service slow in this process, to see that the others are not.
async fn delay(State(app): State<Arc<App>>, Path(name): Path<String>, Json(Delay { ms }): Json<Delay>) -> Answer {
    if ms > MAX_DELAY_MS {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("ms is {ms}, and at most {MAX_DELAY_MS}")));
    }
    let found = app.services().into_iter().find(|(known, _)| *known == name);
    let (_, service) = found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no service `{name}`")))?;
    service.slow_down(ms);
    Ok((StatusCode::OK, Json(json!({ "service": name, "ms": ms }))))
}

async fn health(State(app): State<Arc<App>>) -> Json<Map<String, Value>> {
    Json(app.services().into_iter().map(|(name, service)| (name.to_owned(), service.health())).collect())
}

async fn totals(State(app): State<Arc<App>>) -> Answer {
    Ok((StatusCode::OK, Json(app.shop.totals().await?)))
}

/// The id under which a posting happens once. A header has no line break, so no two pairs of key
/// and user make the same id.
fn posting_id(headers: &HeaderMap, user: &str) -> Result<String, Refused> {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    Ok(format!("{user}\n{}", key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?))
}

type Answer = Result<(StatusCode, Json<Value>), Refused>;
