//! Transfers between accounts: both sides happen or neither, whatever is killed meanwhile.
//!
//! - The accounts are spread over eight partitions, so that the servers of a Redis cluster share
//!   them. A transfer to another partition is a debit there and a credit here. In between, its
//!   amount is *in transit*: in no account, but not lost.
//! - If the process dies in between, [`complete_regularly`] of any process completes the transfer.
//! - A client that gets no answer repeats its request with the same `Idempotency-Key`, at any
//!   process. The transfer happens once: the ledger knows a key for 24 hours. Keys belong to the
//!   account in the path.
//! - By default a crash of Redis loses the last second, or everything: run it with `appendonly yes`
//!   and `appendfsync always`, so that no answered transfer is lost.
//!
//! ```text
//! cargo run --release --example transfer                                      # in memory
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --example transfer     # many processes
//!
//! curl -i localhost:8080/accounts/ada/deposits -H 'Idempotency-Key: 1' --json '{"amount":100}'
//! curl -i localhost:8080/accounts/bob/deposits -H 'Idempotency-Key: 1' --json '{"amount":0}'
//! curl -i localhost:8080/accounts/ada/transfers -H 'Idempotency-Key: 2' \
//!     --json '{"to":"bob","amount":30}'
//! curl localhost:8080/accounts/bob
//! curl localhost:8080/totals
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

use std::env;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Ledger, LedgerError, LedgerStore, MemoryStore, RedisStore, StoreError, Transfer};

/// The first process that uses the ledger sets this number for good.
const PARTITIONS: NonZeroU16 = NonZeroU16::new(8).expect("8 is not zero");
/// The largest balance of a ledger, and so the largest amount: 2^53 − 1.
const MAX_AMOUNT: u64 = (1 << 53) - 1;
const COMPLETE_EVERY: Duration = Duration::from_secs(1);
const COMPLETED_AT_ONCE: u32 = 1_000;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store: Arc<dyn LedgerStore> = match env::var("REDIS_URL") {
        Ok(url) => {
            let client = Client::connect(&Config::parse(&url)?, Role::Durable).await?;
            Arc::new(RedisStore::new(client, Keyspace::new("transfer")?))
        }
        Err(_) => Arc::new(MemoryStore::new()),
    };
    let ledger = Ledger::new(store, "accounts").partitions(PARTITIONS);
    tokio::spawn(complete_regularly(ledger.clone()));

    let router = Router::new()
        .route("/accounts/{account}", get(account))
        .route("/accounts/{account}/deposits", post(deposit))
        .route("/accounts/{account}/transfers", post(transfer))
        .route_layer(from_fn(check_name))
        .route("/totals", get(totals))
        .with_state(ledger);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// A name becomes a key of Redis and a part of ids. The account of the other side exists, so it has
/// passed here before.
async fn check_name(account: Name, request: Request, next: Next) -> Result<Response, Refused> {
    let Path(account) = account?;
    if account.len() > 100 || account.contains(char::is_control) {
        let reason = "an account has a name of 1 to 100 bytes, without control characters";
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason.into()));
    }
    Ok(next.run(request).await)
}

/// Completes what dead processes have left in transit. Each process may do this; a transfer that is
/// completed twice arrives once.
async fn complete_regularly(ledger: Ledger) {
    let mut tick = tokio::time::interval(COMPLETE_EVERY);
    loop {
        tick.tick().await;
        match ledger.complete_transfers(COMPLETED_AT_ONCE).await {
            Ok(done) if done.arrived + done.returned > 0 => {
                println!("completed {} transfers, returned {}", done.arrived, done.returned);
            }
            // Nothing was in transit, or Redis is away. The next tick tries again.
            _ => {}
        }
    }
}

#[derive(Deserialize)]
struct Deposit {
    amount: u64,
}

/// Opens the account if it does not exist. An amount of 0 does only that.
async fn deposit(
    State(ledger): State<Ledger>,
    account: Name,
    headers: HeaderMap,
    body: Result<Json<Deposit>, JsonRejection>,
) -> Answer {
    let (Path(account), Json(Deposit { amount })) = (account?, body?);
    check_amount(amount, 0)?;
    let balance = ledger.deposit(&posting_id(&headers, &account)?, &account, amount).await?;
    Ok((StatusCode::CREATED, Json(json!({ "balance": balance }))))
}

#[derive(Deserialize)]
struct Order {
    to: String,
    amount: u64,
}

/// Answers with the balance that the transfer has left, also if the request is repeated later.
async fn transfer(
    State(ledger): State<Ledger>,
    from: Name,
    headers: HeaderMap,
    body: Result<Json<Order>, JsonRejection>,
) -> Answer {
    let (Path(from), Json(Order { to, amount })) = (from?, body?);
    check_amount(amount, 1)?;
    let transfer = Transfer::new(posting_id(&headers, &from)?, from, to, amount);
    let balances = ledger.transfer(transfer).await?;
    Ok((StatusCode::CREATED, Json(json!({ "balance": balances.from }))))
}

async fn account(State(ledger): State<Ledger>, account: Name) -> Answer {
    let Path(account) = account?;
    let found = ledger.account(&account).await?;
    let found = found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no account `{account}`")))?;
    Ok((StatusCode::OK, Json(json!({ "balance": found.balance, "in_transit": found.in_transit }))))
}

#[derive(Serialize)]
struct Totals {
    deposited: u128,
    in_transit: i128,
}

/// The sum of all balances is what was deposited, less what is in transit.
async fn totals(State(ledger): State<Ledger>) -> Result<Json<Totals>, Refused> {
    let totals = ledger.totals().await?;
    Ok(Json(Totals { deposited: totals.deposited, in_transit: totals.in_transit }))
}

/// The id under which the ledger posts once. A header has no line break, so no two pairs of key and
/// account make the same id.
fn posting_id(headers: &HeaderMap, account: &str) -> Result<String, Refused> {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    Ok(format!("{key}\n{account}"))
}

fn check_amount(amount: u64, least: u64) -> Result<(), Refused> {
    if (least..=MAX_AMOUNT).contains(&amount) {
        return Ok(());
    }
    let reason = format!("amount is {amount}, and must be from {least} to {MAX_AMOUNT}");
    Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason))
}

type Name = Result<Path<String>, PathRejection>;
type Answer = Result<(StatusCode, Json<Value>), Refused>;

/// An answer of 4xx or 5xx, with the reason.
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

impl From<LedgerError> for Refused {
    fn from(error: LedgerError) -> Self {
        let status = match &error {
            // The amount was checked before.
            LedgerError::Quantity(_) => {
                return Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("the balance would be above {MAX_AMOUNT}"));
            }
            LedgerError::Reused { .. } => {
                return Refused(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "this Idempotency-Key was used for another request".into(),
                );
            }
            LedgerError::SameAccount { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            LedgerError::Unknown { .. } => StatusCode::NOT_FOUND,
            LedgerError::Overdrawn { .. } => StatusCode::CONFLICT,
            // It is unknown whether this was posted: the client repeats its request.
            LedgerError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        LedgerError::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
