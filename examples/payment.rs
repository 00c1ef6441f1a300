//! A payment that is made once, whatever happens meanwhile.
//!
//! 50 callers pay for the same order at once, the process that holds the lock is suspended past its
//! lease, a process is killed between two steps: the order is paid once, from one account.
//!
//! - [`Once`] answers a repeated `Idempotency-Key` of a user with the receipt of the first time.
//! - [`Lock`] sends one caller at a time to the payment provider for an order.
//! - SQL refuses a write with an older fencing token: a suspended process may outlive its lease.
//! - A payment goes on if its caller leaves.
//!
//! ```text
//! cargo run --release --example payment          # everything in memory, for one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example payment      # for many processes
//!
//! curl -i localhost:8080/payments -H 'Idempotency-Key: 1' \
//!     --json '{"order":"o-1","user":"user-1","amount":1999}'
//! curl localhost:8080/payments/o-1 localhost:8080/totals
//! PROVIDER_MS=5000 cargo run --release --example payment     # with a slow payment provider
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use axum::extract::{Path, State, rejection::JsonRejection, rejection::PathRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{AnyPool, any::AnyPoolOptions};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Begin, Lock, MemoryStore, Once, OnceStore, PermitStore, RedisStore};

/// How long a process that died keeps others from an order, or from a repeat of its request.
const LEASE: Duration = Duration::from_secs(1);
const MAX_AMOUNT: i64 = 1_000_000;
const OTHER_PAYMENT: &str = "this Idempotency-Key was used for another payment";
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

/// A row of `payments` begins with the first attempt. `fence` is the newest token that SQL has seen
/// for the order, `paid_by` the user and key that paid. 1,000 users have 1,000,000 each.
const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS accounts (user_id TEXT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS payments (order_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,
         amount BIGINT NOT NULL, fence BIGINT NOT NULL, paid_by TEXT UNIQUE)",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
     INSERT INTO accounts SELECT 'user-' || i, 1000000 FROM n WHERE true ON CONFLICT DO NOTHING",
];

#[derive(Clone)]
struct Shop {
    sql: AnyPool,
    locks: Arc<dyn PermitStore>,
    requests: Once,
    provider_takes: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let servers = (env::var("REDIS_URL"), env::var("DATABASE_URL"));
    let (locks, requests, url): (Arc<dyn PermitStore>, Arc<dyn OnceStore>, _) = match servers {
        (Ok(redis), Ok(database)) => {
            let client = Client::connect(&Config::parse(&redis)?, Role::Durable).await?;
            let store = RedisStore::new(client, Keyspace::new("payment")?);
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
    let guard = Lock::new(locks.clone(), "tables").lease(LEASE).acquire(Duration::from_secs(20)).await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&sql).await?;
    }
    guard.release().await?;
    let provider_ms = env::var("PROVIDER_MS").map_or(Ok(20), |ms| ms.parse());
    let provider_takes = Duration::from_millis(provider_ms.context("PROVIDER_MS must be a whole number")?);
    let shop = Shop { sql, locks, requests: Once::new(requests, "payment").lease(LEASE), provider_takes };
    let router = Router::new()
        .route("/payments", post(pay))
        .route("/payments/{order}", get(payment))
        .route("/totals", get(totals))
        .route("/locks/{name}", post(lock))
        .with_state(shop);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize, Serialize, PartialEq, Eq)]
struct Payment {
    order: String,
    user: String,
    amount: i64,
}

async fn pay(State(shop): State<Shop>, headers: HeaderMap, body: Result<Json<Payment>, JsonRejection>) -> Answer {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Json(payment) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    if !(1..=MAX_AMOUNT).contains(&payment.amount) {
        let reason = format!("amount is {}, and must be from 1 to {MAX_AMOUNT}", payment.amount);
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    // A key has no line break, so no two pairs of user and key make the same text.
    let key = format!("{}\n{key}", name(&payment.user)?);
    let receipt = (StatusCode::CREATED, Json(json!({ "paid": payment })));
    let attempt = match shop.requests.begin(key.as_str()).await? {
        Begin::Started(attempt) => attempt,
        Begin::InProgress { .. } => return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "still in progress".into())),
        Begin::Done(done) if serde_json::from_slice::<Payment>(&done)? == payment => return Ok(receipt),
        Begin::Done(_) => return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, OTHER_PAYMENT.into())),
    };
    let (paid, payment) = tokio::spawn(async move { (shop.pay(&key, &payment).await, payment) }).await?;
    if let Err(refused) = paid {
        let _ = attempt.fail().await;
        return Err(refused);
    }
    // If this fails, the repeat finds in SQL what its key has paid for.
    let _ = attempt.complete(serde_json::to_vec(&payment)?).await;
    Ok(receipt)
}

/// A name that PostgreSQL takes into an index.
fn name(text: &str) -> Result<&str, Refused> {
    if (1..=100).contains(&text.len()) && !text.contains('\0') {
        return Ok(text);
    }
    Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("`{text}` is no name: 1 to 100 bytes, without NUL")))
}

impl Shop {
    async fn pay(&self, key: &str, payment: &Payment) -> Result<(), Refused> {
        if self.is_paid(key, payment).await? {
            return Ok(());
        }
        let Payment { order, user, amount } = payment;
        let guard = Lock::new(self.locks.clone(), format!("order:{order}")).lease(LEASE).acquire(2 * LEASE).await?;
        let fence = i64::try_from(guard.fence().get())?;
        // From here on SQL refuses every holder of an older token.
        let claim = "INSERT INTO payments (order_id, user_id, amount, fence) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (order_id) DO UPDATE SET user_id = excluded.user_id, amount = excluded.amount,
                     fence = excluded.fence WHERE payments.fence < excluded.fence AND payments.paid_by IS NULL";
        let claim = sqlx::query(claim).bind(order).bind(user).bind(amount).bind(fence);
        if claim.execute(&self.sql).await?.rows_affected() == 1 {
            // The provider authorizes, perhaps twice: an authorization without a capture expires.
            tokio::time::sleep(self.provider_takes).await;
            if self.capture(key, payment, fence).await? {
                return Ok(());
            }
        }
        let is_paid = self.is_paid(key, payment).await?;
        is_paid.then_some(()).ok_or_else(|| Refused(StatusCode::SERVICE_UNAVAILABLE, "another caller is paying".into()))
    }

    /// Takes the money if the token is still the newest. If there is too little, the row goes.
    async fn capture(&self, key: &str, payment: &Payment, fence: i64) -> Result<bool, Refused> {
        let Payment { order, user, amount } = payment;
        let mut sql = self.sql.begin().await?;
        let mark = sqlx::query("UPDATE payments SET paid_by = $1 WHERE order_id = $2 AND fence = $3");
        if mark.bind(key).bind(order).bind(fence).execute(&mut *sql).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let debit = "UPDATE accounts SET balance = balance - $1 WHERE user_id = $2 AND balance >= $1";
        if sqlx::query(debit).bind(amount).bind(user).execute(&mut *sql).await?.rows_affected() == 0 {
            sqlx::query("DELETE FROM payments WHERE order_id = $1").bind(order).execute(&mut *sql).await?;
            sql.commit().await?;
            return Err(Refused(StatusCode::CONFLICT, format!("`{user}` does not have {amount}")));
        }
        sql.commit().await?;
        Ok(true)
    }

    /// Whether the request `key` has paid. SQL remembers it, also if a process died meanwhile.
    /// An error if the key has paid for something else, or another one for the order.
    async fn is_paid(&self, key: &str, payment: &Payment) -> Result<bool, Refused> {
        let Payment { order, user, amount } = payment;
        let select = "SELECT order_id, amount, paid_by FROM accounts LEFT JOIN payments paid
                      ON paid_by = $1 OR (order_id = $2 AND paid_by IS NOT NULL) WHERE accounts.user_id = $3";
        let select = sqlx::query_as(select).bind(key).bind(name(order)?).bind(user);
        let found: Option<(Option<String>, Option<i64>, Option<String>)> = select.fetch_optional(&self.sql).await?;
        match found {
            None => Err(Refused(StatusCode::NOT_FOUND, format!("there is no user `{user}`"))),
            Some((_, _, None)) => Ok(false),
            Some((_, _, Some(by))) if by != key => {
                Err(Refused(StatusCode::CONFLICT, format!("order `{order}` has been paid for")))
            }
            Some((paid, of, _)) if (paid.as_ref(), of) == (Some(order), Some(*amount)) => Ok(true),
            Some(_) => Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, OTHER_PAYMENT.into())),
        }
    }
}

async fn payment(State(shop): State<Shop>, order: Result<Path<String>, PathRejection>) -> Answer {
    let Path(order) = order.map_err(|error| Refused(error.status(), error.body_text()))?;
    let select = "SELECT user_id, amount, fence, paid_by FROM payments WHERE order_id = $1";
    let found = sqlx::query_as(select).bind(name(&order)?).fetch_optional(&shop.sql).await?;
    let no_payment = || Refused(StatusCode::NOT_FOUND, format!("no payment for `{order}`"));
    let (user, amount, fence, paid_by): (String, i64, i64, Option<String>) = found.ok_or_else(no_payment)?;
    Ok((StatusCode::OK, Json(json!({ "user": user, "amount": amount, "fence": fence, "paid": paid_by.is_some() }))))
}

/// The sum that was paid, and the sum by which accounts were debited: they must agree.
async fn totals(State(shop): State<Shop>) -> Answer {
    let select = "SELECT COUNT(*), CAST(COALESCE(SUM(amount), 0) AS BIGINT),
                  (SELECT CAST(SUM(1000000 - balance) AS BIGINT) FROM accounts)
                  FROM payments WHERE paid_by IS NOT NULL";
    let (payments, paid, debited): (i64, i64, i64) = sqlx::query_as(select).fetch_one(&shop.sql).await?;
    Ok((StatusCode::OK, Json(json!({ "payments": payments, "paid": paid, "debited": debited }))))
}

/// Takes a lock and does nothing else, to measure the lock.
async fn lock(State(shop): State<Shop>, lock: Result<Path<String>, PathRejection>) -> Answer {
    let Path(lock) = lock.map_err(|error| Refused(error.status(), error.body_text()))?;
    let lock = Lock::new(shop.locks, format!("plain:{}", name(&lock)?)).lease(LEASE);
    let (guard, is_contended) = match lock.try_acquire().await? {
        Some(guard) => (guard, false),
        None => (lock.acquire(2 * LEASE).await?, true),
    };
    Ok((StatusCode::OK, Json(json!({ "fence": guard.fence().get(), "contended": is_contended }))))
}

type Answer = Result<(StatusCode, Json<Value>), Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

/// A server is away, or took too long: the same request may succeed later.
impl<E: std::error::Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
