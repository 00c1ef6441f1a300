//! A product page from a cache: fast, and never older than what its reader knows of.
//!
//! - A miss loads the page from SQL, once for all processes. Each keeps a copy in its memory.
//! - An update is written to SQL, then invalidated, then answered: no load that began before brings
//!   the old page back. If the process dies in between, `updates` has another one invalidate.
//! - Copies in other processes go within milliseconds. A reader that knows of an update names its
//!   version (`?at_least=2`), and gets no older page.
//!
//! ```text
//! cargo run --release --example product_page          # everything in memory, for one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example product_page      # for many processes
//!
//! curl localhost:8080/products/7
//! curl -i -X PUT localhost:8080/products/7 -H 'Idempotency-Key: 1' --json '{"price":1999}'
//! curl 'localhost:8080/products/7?at_least=2'       # or ?cache=off
//! curl localhost:8080/statements
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, Query, State, rejection::JsonRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{AnyPool, any::AnyPoolOptions};
use tidegate_cache::{Fill, Key, Read, RedisTier, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Lock, MemoryStore, PermitStore, RedisStore};

const PAGES: TtlClass = TtlClass::new("pages", Duration::from_secs(300));
const OTHER_UPDATE: &str = "this Idempotency-Key was used for another update";
const NO_KEY: &str = "Idempotency-Key is missing, or too long: 1 to 100 visible ASCII characters";
/// 1,000 products in 10 categories, with 300 sales each. A row of `updates` is an update by its
/// idempotency key, and whether it has been announced to the cache.
const TABLES: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS products (id BIGINT PRIMARY KEY, category BIGINT NOT NULL, name TEXT NOT NULL,
         price BIGINT NOT NULL, version BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sales (product_id BIGINT NOT NULL, quantity BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS updates (idempotency_key TEXT PRIMARY KEY, product_id BIGINT NOT NULL,
         price BIGINT NOT NULL, version BIGINT NOT NULL, is_announced BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sales_of_product ON sales (product_id)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
     INSERT INTO sales SELECT 1 + (i * 79 + i / 1000) % 1000, 1 + i % 5 FROM n
     WHERE NOT EXISTS (SELECT 1 FROM products)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
     INSERT INTO products SELECT i, i % 10, 'Product ' || i, 100 + i, 1 FROM n WHERE true ON CONFLICT DO NOTHING",
];

#[derive(Clone)]
struct Shop {
    sql: AnyPool,
    cache: TieredCache,
    pages: TypedCache<Option<Page>>,
    /// Statements with which this process has made pages.
    statements: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (cache, locks): (_, Arc<dyn PermitStore>) = match env::var("REDIS_URL") {
        Ok(url) => {
            let (config, keyspace) = (Config::parse(&url)?, Keyspace::new("product-page")?);
            let tier = RedisTier::new(Client::connect(&config, Role::Cache).await?, &keyspace);
            let store = RedisStore::new(Client::connect(&config, Role::Durable).await?, keyspace);
            (TieredCache::builder().l2(tier).build(), Arc::new(store))
        }
        Err(_) => (TieredCache::builder().build(), Arc::new(MemoryStore::new())),
    };
    sqlx::any::install_default_drivers();
    // Without a server the tables live in one connection, for as long as it does.
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let pool = AnyPoolOptions::new().max_connections(if url.starts_with("sqlite") { 1 } else { 16 });
    let sql = pool.idle_timeout(None).max_lifetime(None).connect(&url).await?;
    // One process at a time creates the tables: PostgreSQL fails if two create one table.
    let guard = Lock::new(locks, "tables").acquire(Duration::from_secs(20)).await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&sql).await?;
    }
    guard.release().await?;
    let pages = cache.typed_with_codec(PAGES, tidegate_cache::Json::new());
    let shop = Shop { sql, cache, pages, statements: Arc::default() };
    tokio::spawn(shop.clone().announce_regularly());
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

async fn page(State(shop): State<Shop>, Path(id): Path<String>, query: Query<HashMap<String, String>>) -> Answer {
    let id = id.parse().map_err(|_| no_product(&id))?;
    let at_least = query.get("at_least").map_or(Ok(0), |version| version.parse());
    let at_least = at_least.map_err(|_| Refused(StatusCode::BAD_REQUEST, "at_least is not a version".into()))?;
    let (mut answer, source) = if query.get("cache").is_some_and(|cache| cache == "off") {
        (json!(shop.load(id).await?), "sql".to_owned())
    } else {
        let read = shop.read(id, at_least).await?;
        (json!(*read.value), format!("{:?}", read.source).to_lowercase())
    };
    let version = answer["version"].as_i64().ok_or_else(|| no_product(id))?;
    if version < at_least {
        return Err(Refused(StatusCode::NOT_FOUND, format!("product {id} has no version {at_least} yet")));
    }
    answer["source"] = Value::from(source);
    Ok(Json(answer))
}

impl Shop {
    /// The page, of this version or a newer one if there is one.
    async fn read(&self, id: i64, at_least: i64) -> Result<Read<Option<Page>>, Refused> {
        let key = Key::builder("page").part(id).build()?;
        let read = self.read_cache(&key, id).await?;
        let is_enough = read.value.as_ref().as_ref().is_none_or(|page| page.version >= at_least);
        let newest = sqlx::query_scalar("SELECT version FROM products WHERE id = $1").bind(id);
        if is_enough || newest.fetch_one(&self.sql).await.is_ok_and(|newest: i64| newest < at_least) {
            return Ok(read);
        }
        // This process has an old copy. While Redis is away, this fails, and the load is from SQL.
        let _ = self.cache.invalidate_key(&key).await;
        self.read_cache(&key, id).await
    }

    async fn read_cache(&self, key: &Key, id: i64) -> Result<Read<Option<Page>>, Refused> {
        let shop = self.clone();
        let read = self.pages.get_or_load(key, async move || shop.load(id).await.map(Fill::new)).await;
        read.map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.source().unwrap_or(&error).to_string()))
    }

    /// Makes the page in SQL, which takes long: the rank compares all sales of the category.
    async fn load(&self, id: i64) -> Result<Option<Page>, sqlx::Error> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let select = "SELECT name, price, version,
                (SELECT 1 + COUNT(*) FROM (SELECT SUM(quantity) AS sold FROM sales
                     JOIN products others ON others.id = product_id WHERE others.category = products.category
                     GROUP BY product_id) AS ranked
                 WHERE sold > (SELECT SUM(quantity) FROM sales WHERE product_id = $1)) AS rank
            FROM products WHERE id = $1";
        let row: Option<(String, i64, i64, i64)> = sqlx::query_as(select).bind(id).fetch_optional(&self.sql).await?;
        Ok(row.map(|(name, price, version, rank)| Page { name, price, version, rank }))
    }

    /// Sets the price, once for each key, and returns the version that this has made.
    async fn write(&self, update: &str, id: i64, price: i64) -> Result<i64, Refused> {
        let known = "SELECT product_id, price, version FROM updates WHERE idempotency_key = $1";
        let known: Option<(i64, i64, i64)> = sqlx::query_as(known).bind(update).fetch_optional(&self.sql).await?;
        match known {
            Some((of, to, version)) if (of, to) == (id, price) => return Ok(version),
            Some(_) => return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, OTHER_UPDATE.into())),
            None => {}
        }
        let mut sql = self.sql.begin().await?;
        let set = "UPDATE products SET price = $1, version = version + 1 WHERE id = $2 RETURNING version";
        let set = sqlx::query_scalar(set).bind(price).bind(id).fetch_optional(&mut *sql).await?;
        let version: i64 = set.ok_or_else(|| no_product(id))?;
        // Fails if another process has had the same request meanwhile. Then nothing changes here.
        let note = sqlx::query("INSERT INTO updates VALUES ($1, $2, $3, $4, 0)");
        note.bind(update).bind(id).bind(price).bind(version).execute(&mut *sql).await?;
        sql.commit().await?;
        Ok(version)
    }

    /// Drops the page from the cache of all processes, and notes that this is done.
    async fn announce(&self, update: &str, id: i64) -> Result<(), Refused> {
        self.cache.invalidate_key(&Key::builder("page").part(id).build()?).await?;
        let note = sqlx::query("UPDATE updates SET is_announced = 1 WHERE idempotency_key = $1");
        note.bind(update).execute(&self.sql).await?;
        Ok(())
    }

    /// Announces what processes that died have not. Each process may do this.
    async fn announce_regularly(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let select = "SELECT idempotency_key, product_id FROM updates WHERE is_announced = 0 LIMIT 100";
        loop {
            tick.tick().await;
            let left: Vec<(String, i64)> = sqlx::query_as(select).fetch_all(&self.sql).await.unwrap_or_default();
            for (update, id) in left {
                // While a server is away this fails; the next tick tries again.
                let _ = self.announce(&update, id).await;
            }
        }
    }
}

#[derive(Deserialize)]
struct Update {
    price: i64,
}

async fn update(State(shop): State<Shop>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Answer {
    let id = id.parse().map_err(|_| no_product(&id))?;
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(|it| (1..=100).contains(&it.len()));
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Json(Update { price }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    if !(1..=1_000_000).contains(&price) {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("price {price} is not from 1 to 1000000")));
    }
    let version = shop.write(key, id, price).await?;
    // Until this has succeeded the update is not acknowledged: the client repeats it.
    shop.announce(key, id).await?;
    Ok(Json(json!({ "product": id, "price": price, "version": version })))
}

async fn statements(State(shop): State<Shop>) -> Json<Value> {
    Json(json!({ "process": std::process::id(), "statements": shop.statements.load(Ordering::Relaxed) }))
}

type Body = Result<Json<Update>, JsonRejection>;
type Answer = Result<Json<Value>, Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

fn no_product(id: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no product `{id}`"))
}

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
