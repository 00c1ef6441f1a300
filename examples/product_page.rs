//! A product page from a cache: fast, and never older than the last update that was answered.
//!
//! - A miss loads the page from SQL, once for all processes. Redis alone keeps it.
//! - An update is written to SQL, then its page is removed from Redis, then it is answered. No load
//!   that began before brings the old page back, in any process.
//! - If the process dies in between, another one removes the old page within a minute.
//! - Redis must keep removals: `appendonly yes` with `appendfsync always`, or no persistence.
//!
//! ```text
//! cargo run --release --example product_page          # everything in memory, for one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example product_page      # for many processes
//!
//! curl localhost:8080/products/7                      # or ?cache=off
//! curl -i -X PUT localhost:8080/products/7 -H 'Idempotency-Key: 1' --json '{"price":1999}'
//! curl localhost:8080/statements
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};
use std::{env, error::Error, time::Duration, time::SystemTime};

use axum::extract::{Path, RawQuery, State, rejection::JsonRejection, rejection::PathRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{AnyPool, any::AnyPoolOptions};
use tidegate_cache::{Capacity, Fill, Key, Read, RedisTier, Source, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Lock, MemoryStore, PermitStore, RedisStore};

const PAGES: TtlClass = TtlClass::new("pages", Duration::from_secs(300));
const OTHER_UPDATE: &str = "this Idempotency-Key was used for another update";
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";
/// 1,000 products in 10 categories, with 300 sales each. A row of `prices` is an update: its price,
/// the version of the page that it has made, and the second in which it was written.
const TABLES: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS products (id BIGINT PRIMARY KEY, category BIGINT NOT NULL, name TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS prices (product_id BIGINT, version BIGINT, price BIGINT NOT NULL, written BIGINT,
         idempotency_key TEXT NOT NULL, PRIMARY KEY (product_id, version), UNIQUE (product_id, idempotency_key))",
    "CREATE INDEX IF NOT EXISTS prices_by_time ON prices (written)",
    "CREATE TABLE IF NOT EXISTS sales (product_id BIGINT NOT NULL, quantity BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sales_of_product ON sales (product_id)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
     INSERT INTO products SELECT i, i % 10, 'Product ' || i FROM n WHERE true ON CONFLICT DO NOTHING",
    "INSERT INTO prices SELECT id, 1, 100 + id, 0, '' FROM products WHERE true ON CONFLICT DO NOTHING",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
     INSERT INTO sales SELECT 1 + (i * 79 + i / 1000) % 1000, 1 + i % 5 FROM n
     WHERE NOT EXISTS (SELECT 1 FROM sales)",
];

#[derive(Clone)]
struct Shop {
    sql: AnyPool,
    pages: TypedCache<Option<Page>>,
    statements: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (cache, locks, url): (_, Arc<dyn PermitStore>, _) = match (env::var("REDIS_URL"), env::var("DATABASE_URL")) {
        (Ok(redis), Ok(database)) => {
            let (config, keyspace) = (Config::parse(&redis)?, Keyspace::new("product-page")?);
            let tier = RedisTier::new(Client::connect(&config, Role::Cache).await?, &keyspace);
            let store = RedisStore::new(Client::connect(&config, Role::Durable).await?, keyspace);
            // No page fits into the memory of the process, so each read asks Redis.
            (TieredCache::builder().capacity(Capacity::Bytes(1)).l2(tier), Arc::new(store), database)
        }
        (Err(_), Err(_)) => (TieredCache::builder(), Arc::new(MemoryStore::new()), "sqlite::memory:".to_owned()),
        (Ok(_), _) => anyhow::bail!("set both REDIS_URL and DATABASE_URL, or neither: REDIS_URL is set alone"),
        (_, Ok(_)) => anyhow::bail!("set both REDIS_URL and DATABASE_URL, or neither: DATABASE_URL is set alone"),
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
    let pages = cache.build().typed_with_codec(PAGES, tidegate_cache::Json::new());
    let shop = Shop { sql, pages, statements: Arc::default() };
    tokio::spawn(shop.clone().check_regularly());
    let router = Router::new()
        .route("/products/{id}", get(page).put(update))
        .route("/statements", get(statements))
        .with_state(shop);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

#[derive(Serialize, Deserialize)]
struct Page {
    name: String,
    price: i64,
    version: i64,
    rank: i64,
}

async fn page(State(shop): State<Shop>, id: Id, RawQuery(query): RawQuery) -> Answer {
    let Path(id) = id.map_err(|error| Refused(StatusCode::NOT_FOUND, error.body_text()))?;
    let (mut answer, source) = if query.is_some_and(|query| query.split('&').any(|it| it == "cache=off")) {
        (json!(shop.load(id).await?), "sql".to_owned())
    } else {
        let mut read = shop.read(id).await?;
        if read.source == Source::Collapsed {
            // Another request began that load, perhaps before the last update.
            read = shop.read(id).await?;
        }
        (json!(*read.value), format!("{:?}", read.source).to_lowercase())
    };
    if answer.is_null() {
        return Err(no_product(id));
    }
    answer["source"] = Value::from(source);
    Ok(Json(answer))
}

impl Shop {
    /// The tables, for one statement.
    fn sql(&self) -> &AnyPool {
        self.statements.fetch_add(1, Ordering::Relaxed);
        &self.sql
    }

    async fn read(&self, id: i64) -> Result<Read<Option<Page>>, Refused> {
        let shop = self.clone();
        let read = self.pages.fetch(&key_of(id)?, async move || shop.load(id).await.map(Fill::new)).await;
        read.map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.source().unwrap_or(&error).to_string()))
    }

    /// Makes the page in SQL, which takes long: the rank compares all sales of the category.
    async fn load(&self, id: i64) -> Result<Option<Page>, sqlx::Error> {
        let select = "SELECT name, price, version,
                (SELECT 1 + COUNT(*) FROM (SELECT SUM(quantity) AS sold FROM sales
                     JOIN products others ON others.id = product_id WHERE others.category = products.category
                     GROUP BY product_id) AS ranked
                 WHERE sold > (SELECT SUM(quantity) FROM sales WHERE product_id = $1)) AS rank
            FROM products JOIN (SELECT price, version FROM prices WHERE product_id = $1 ORDER BY version DESC LIMIT 1)
            AS newest ON true WHERE id = $1";
        let row: Option<(String, i64, i64, i64)> = sqlx::query_as(select).bind(id).fetch_optional(self.sql()).await?;
        Ok(row.map(|(name, price, version, rank)| Page { name, price, version, rank }))
    }

    /// Writes the price, once for each key of a product. Returns the version that it has made.
    async fn write(&self, id: i64, key: &str, price: i64) -> Result<i64, Refused> {
        let add = "INSERT INTO prices SELECT product_id, MAX(version) + 1, CAST($2 AS BIGINT), CAST($3 AS BIGINT), $4
                   FROM prices WHERE product_id = $1 GROUP BY product_id ON CONFLICT DO NOTHING RETURNING version";
        let select = "SELECT version, price FROM products LEFT JOIN prices
                      ON product_id = id AND idempotency_key = $2 WHERE id = $1";
        loop {
            let add = sqlx::query_scalar(add).bind(id).bind(price).bind(unix_seconds()).bind(key);
            // Read to its end: then it is committed.
            if let Some(version) = add.fetch_all(self.sql()).await?.pop() {
                return Ok(version);
            }
            let known = sqlx::query_as(select).bind(id).bind(key);
            let known: Option<(Option<i64>, Option<i64>)> = known.fetch_optional(self.sql()).await?;
            match known.ok_or_else(|| no_product(id))? {
                (Some(version), Some(to)) if to == price => return Ok(version),
                (Some(_), _) => return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, OTHER_UPDATE.into())),
                // Another update has made this version meanwhile.
                (None, _) => {}
            }
        }
    }

    /// Removes old pages of processes that died between update and removal. Each process does this.
    async fn check_regularly(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(60));
        let select = "SELECT product_id, MAX(version) FROM prices WHERE written >= $1 GROUP BY product_id";
        loop {
            tick.tick().await;
            // A page lives five minutes: in ten, each update is checked often enough.
            let select = sqlx::query_as(select).bind(unix_seconds() - 600);
            let updated: Vec<(i64, i64)> = select.fetch_all(self.sql()).await.unwrap_or_default();
            for (id, version) in updated {
                let Ok(key) = key_of(id) else { continue };
                let page = self.pages.get(&key).await.into_value();
                if page.is_some_and(|page| page.as_ref().as_ref().is_none_or(|page| page.version < version)) {
                    let _ = self.pages.remove(&key).await;
                }
            }
        }
    }
}

fn key_of(id: i64) -> Result<Key, Refused> {
    Ok(Key::builder("page").part(id).build()?)
}

fn unix_seconds() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs().cast_signed())
}

#[derive(Deserialize)]
struct Update {
    price: i64,
}

async fn update(State(shop): State<Shop>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let Path(id) = id.map_err(|error| Refused(StatusCode::NOT_FOUND, error.body_text()))?;
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Json(Update { price }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    if !(1..=1_000_000).contains(&price) {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("price is {price}, not from 1 to 1000000")));
    }
    let version = shop.write(id, key, price).await?;
    // Until this has succeeded the update is not answered: the client repeats it.
    shop.pages.remove(&key_of(id)?).await?;
    Ok(Json(json!({ "product": id, "price": price, "version": version })))
}

async fn statements(State(shop): State<Shop>) -> Json<Value> {
    Json(json!({ "process": std::process::id(), "statements": shop.statements.load(Ordering::Relaxed) }))
}

fn no_product(id: i64) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no product `{id}`"))
}

type Id = Result<Path<i64>, PathRejection>;
type Body = Result<Json<Update>, JsonRejection>;
type Answer = Result<Json<Value>, Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

/// A server is away, or took too long: the same request may succeed later.
impl<E: Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
