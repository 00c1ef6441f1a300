//! Loyalty points: earn, use, balance. No balance is ever negative, and none is shown too old.
//!
//! - [`Ledger`] keeps the balances. A repeated `Idempotency-Key` of a user posts nothing twice, for
//!   24 hours. Run Redis with `appendonly yes` and `appendfsync always`: a crash then loses none.
//! - Using points is an optimistic update: read, decide, write if the account has not changed, else
//!   once more. `/stats` counts the retries.
//! - The earnings of concurrent requests are posted together, in one round trip to Redis.
//! - The cache keeps balances in Redis alone. A write drops the balance there before it is
//!   answered, so no process reads an older one afterwards.
//!
//! ```text
//! cargo run --release --example points                                      # in memory
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --example points     # many processes
//!
//! curl -i -X PUT localhost:8080/users/ada
//! curl -i localhost:8080/users/ada/earnings -H 'Idempotency-Key: 1' --json '{"points":250}'
//! curl -i localhost:8080/users/ada/uses -H 'Idempotency-Key: 2' --json '{"points":200}'
//! curl localhost:8080/users/ada/balance      # or ?cache=off
//! curl localhost:8080/stats
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};
use std::{env, error::Error, time::Duration};

use axum::extract::rejection::{JsonRejection, RawPathParamsRejection};
use axum::extract::{Path, RawPathParams, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get, routing::post, routing::put};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_cache::{Capacity, Fill, Key, RedisTier, Source, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Change, Entry, Ledger, LedgerError, LedgerStore, MemoryStore, RedisStore, Updated};
use tokio::sync::{mpsc, oneshot};

/// An entry that a process did not acknowledge, since it died, may show only after this minute. A
/// load is one round trip, so no process waits for the load of another one.
const BALANCES: TtlClass = TtlClass::new("balances", Duration::from_secs(60)).load_wait(Duration::ZERO);
/// Earned points are a transfer from this account, since a deposit would open an account for any
/// name. Its balance is the largest that a ledger can hold, so no user's can become too large.
const ISSUER: &str = "issuer";
const MAX_POINTS: u64 = (1 << 53) - 1;
/// Points can be used from this balance on.
const MIN_BALANCE: u64 = 100;
/// Most earnings in one step.
const BATCH: usize = 100;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

#[derive(Clone)]
struct Shop {
    ledger: Ledger,
    balances: TypedCache<Option<u64>>,
    earnings: mpsc::Sender<Earning>,
    uses: Arc<AtomicU64>,
    retries: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (store, cache): (Arc<dyn LedgerStore>, _) = match env::var("REDIS_URL") {
        Ok(url) => {
            let (config, keyspace) = (Config::parse(&url)?, Keyspace::new("points")?);
            let tier = RedisTier::new(Client::connect(&config, Role::Cache).await?, &keyspace);
            // No balance fits into the memory of the process, so each read asks Redis.
            let cache = TieredCache::builder().capacity(Capacity::Bytes(1)).l2(tier);
            (Arc::new(RedisStore::new(Client::connect(&config, Role::Durable).await?, keyspace)), cache)
        }
        Err(_) => (Arc::new(MemoryStore::new()), TieredCache::builder()),
    };
    let (ledger, cache) = (Ledger::new(store, "points"), cache.build());
    if ledger.account(ISSUER).await?.is_none() {
        ledger.deposit("issue", ISSUER, MAX_POINTS).await?;
    }
    let balances = cache.typed_with_codec(BALANCES, tidegate_cache::Json::new());
    let (earnings, queue) = mpsc::channel(10 * BATCH);
    let shop = Shop { ledger, balances, earnings, uses: Arc::default(), retries: Arc::default() };
    tokio::spawn(shop.clone().post_batches(queue));
    let router = Router::new()
        .route("/users/{user}", put(sign_up))
        .route("/users/{user}/earnings", post(earn))
        .route("/users/{user}/uses", post(use_points))
        .route("/users/{user}/balance", get(balance))
        .route("/stats", get(stats))
        .route_layer(from_fn(to_the_end))
        .with_state(shop);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// Refuses names that ids can't be made of. Ends what has begun, also if the client leaves: a
/// posting must drop the cached balance.
async fn to_the_end(names: Names, request: Request, next: Next) -> Result<Response, Refused> {
    let names = names.map_err(|error| Refused(error.status(), error.body_text()))?;
    if let Some((field, _)) = names.iter().find(|(_, name)| name.len() > 100 || name.contains(char::is_control)) {
        let reason = format!("{field} has from 1 to 100 bytes, and no line break or other control character");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    Ok(tokio::spawn(next.run(request)).await?)
}

async fn sign_up(State(shop): State<Shop>, Path(user): Path<String>) -> Answer {
    let account = format!("user:{user}");
    // No request has an empty key, so no other posting has this id.
    shop.ledger.deposit(&format!("{user}\n"), &account, 0).await?;
    shop.balances.remove(&key_of(&account)?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "user": user }))))
}

#[derive(Deserialize)]
struct Points {
    points: u64,
}

/// An earning that waits for its batch.
struct Earning {
    entry: Entry,
    balance: Key,
    answer: oneshot::Sender<Result<u64, Refused>>,
}

async fn earn(State(shop): State<Shop>, user: Path<String>, query: RawQuery, headers: HeaderMap, body: Body) -> Answer {
    let (id, account, points) = posting(&headers, user, body)?;
    let (answer, answered) = oneshot::channel();
    let earning = Earning { balance: key_of(&account)?, entry: Entry::transfer(id, ISSUER, account, points), answer };
    match query.0.as_deref() {
        Some("batch=off") => shop.post(&mut vec![earning]).await,
        _ => shop.earnings.send(earning).await?,
    }
    Ok((StatusCode::CREATED, Json(json!({ "balance": answered.await?? }))))
}

impl Shop {
    /// Posts one batch after the other. What arrives meanwhile, in a millisecond, is the next.
    async fn post_batches(self, mut queue: mpsc::Receiver<Earning>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.post(&mut batch).await;
        }
    }

    async fn post(&self, batch: &mut Vec<Earning>) {
        let entries: Vec<_> = batch.iter().map(|earning| earning.entry.clone()).collect();
        let results = self.ledger.post_all(&entries).await;
        let dropped = self.balances.cache().remove_many(batch.iter().map(|earning| &earning.balance)).await;
        for (earning, result) in batch.drain(..).zip(results) {
            let result = match &dropped {
                Ok(_) => result.map(|balances| balances.to).map_err(Refused::from),
                Err(owed) => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, owed.to_string())),
            };
            // Fails if the client has gone.
            let _ = earning.answer.send(result);
        }
    }
}

async fn use_points(State(shop): State<Shop>, user: Path<String>, headers: HeaderMap, body: Body) -> Answer {
    let (id, account, points) = posting(&headers, user, body)?;
    let least = points.max(MIN_BALANCE);
    let mut tries = 0_u64;
    let update = shop.ledger.update(&id, &account, |now| {
        tries += 1;
        (now.balance >= least).then_some(Change::Withdraw(points))
    });
    let updated = update.await;
    shop.uses.fetch_add(1, Ordering::Relaxed);
    shop.retries.fetch_add(tries.saturating_sub(1), Ordering::Relaxed);
    let Updated { balance, is_posted, .. } = updated?;
    if !is_posted {
        return Err(Refused(StatusCode::CONFLICT, format!("`{account}` has {balance} points, and needs {least}")));
    }
    if tries == 0 {
        // An earlier request has posted under this id. This fails if it was another posting.
        shop.ledger.withdraw(&id, &account, points).await?;
    }
    shop.balances.remove(&key_of(&account)?).await?;
    Ok((StatusCode::CREATED, Json(json!({ "balance": balance, "tries": tries }))))
}

async fn balance(State(shop): State<Shop>, Path(user): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let account = format!("user:{user}");
    let mut found = None;
    if query.as_deref() != Some("cache=off") {
        let (ledger, name) = (shop.ledger.clone(), account.clone());
        let load = async move || ledger.account(&name).await.map(|found| Fill::found(found.map(|it| it.balance)));
        let read = shop.balances.fetch(&key_of(&account)?, load).await;
        let read =
            read.map_err(|it| Refused(StatusCode::SERVICE_UNAVAILABLE, it.source().unwrap_or(&it).to_string()))?;
        // If another request began the load, that was perhaps before this user's last write.
        found = (read.source != Source::Collapsed).then_some((*read.value, read.source != Source::Loaded));
    }
    let (balance, is_cached) = match found {
        Some(found) => found,
        None => (shop.ledger.account(&account).await?.map(|it| it.balance), false),
    };
    let balance = balance.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no account `{account}`")))?;
    Ok((StatusCode::OK, Json(json!({ "balance": balance, "cached": is_cached }))))
}

async fn stats(State(shop): State<Shop>) -> Json<Value> {
    Json(json!({ "uses": shop.uses.load(Ordering::Relaxed), "retries": shop.retries.load(Ordering::Relaxed) }))
}

fn key_of(account: &str) -> Result<Key, Refused> {
    Ok(Key::builder("balance").part(account).build()?)
}

/// The id of the posting, the account and the points. A key has no line break, so ids are unique.
fn posting(headers: &HeaderMap, Path(user): Path<String>, body: Body) -> Result<(String, String, u64), Refused> {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Json(Points { points }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    if !(1..=MAX_POINTS).contains(&points) {
        let reason = format!("points is {points}, and must be from 1 to {MAX_POINTS}");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    Ok((format!("{user}\n{key}"), format!("user:{user}"), points))
}

type Names = Result<RawPathParams, RawPathParamsRejection>;
type Body = Result<Json<Points>, JsonRejection>;
type Answer = Result<(StatusCode, Json<Value>), Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

/// A refusal of the ledger. After any other error, the same request may succeed later.
impl<E: Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let status = match (&error as &(dyn Error + 'static)).downcast_ref() {
            Some(LedgerError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Some(LedgerError::Overdrawn { .. }) => StatusCode::CONFLICT,
            Some(LedgerError::Reused { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
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
