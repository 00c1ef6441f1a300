//! Exchange rates of another service that fails, is slow, and may be called only so often.
//!
//! - A rate is cached in each process and in Redis. 100 callers of a rate that is not cached make
//!   one call, over all processes.
//! - A call has a time-out. A failed one is repeated after a backoff that doubles, within a budget.
//!   A breaker stops calls while the service fails, but for one each second (`service.rs`).
//! - While there is no newer rate, callers get the last known one, marked with `"is_stale": true`.
//! - All processes together keep to the quota of the service. While Redis is away, none calls it.
//!
//! `RATE_TTL_MS` is the age at which a rate is stale, `UPSTREAM_URL` the address of the service.
//!
//! ```text
//! cargo run --release --example exchange_rate       # in memory; upstream.rs simulates the service
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --release --example exchange_rate    # shared
//! PORT=8081 UPSTREAM_URL=http://localhost:8080 REDIS_URL=redis://127.0.0.1:6379 \
//!     cargo run --release --example exchange_rate   # one more process, beside the second
//!
//! curl localhost:8080/rates/EUR/USD
//! curl 'localhost:8080/rates/EUR/USD?amount=1999'   # 19.99 EUR
//! curl -X PUT localhost:8080/upstream/mode --json '{"mode":"down"}'    # or up, flaky, slow
//! curl localhost:8080/breaker
//! curl localhost:8080/upstream/calls
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

mod service;
mod upstream;

use std::env;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_cache::{Fill, Key, LoadError, RedisTier, TieredCache, TtlClass, TypedCache};
use tidegate_ratelimit::{Limiter, MemoryLimiter, RedisLimiter};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_resilience::Error;

use crate::service::{Failure, Rate, Service};

/// The age above which a rate is stale, unless `RATE_TTL_MS` is set.
const TTL_MS: u64 = 10_000;
/// How much older a rate may be that is given out as stale.
const GRACE: Duration = Duration::from_secs(3600);
/// How long a caller waits for a newer rate if a stale one is there.
const STALE_AFTER: Duration = Duration::from_millis(100);
/// How long a caller waits if there is none.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Exchange {
    rates: TypedCache<Rate>,
    ttl: Duration,
    service: Service,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ttl =
        env::var("RATE_TTL_MS").map_or(Ok(TTL_MS), |ttl| ttl.parse()).context("RATE_TTL_MS must be a whole number");
    let ttl = Duration::from_millis(ttl?);
    ensure!(!ttl.is_zero() && ttl <= GRACE, "RATE_TTL_MS must be from 1 to {}, an hour", GRACE.as_millis());
    let (mut cache, window) = (TieredCache::builder(), service::quota()?);
    let quota: Arc<dyn Limiter> = match env::var("REDIS_URL") {
        Ok(url) => {
            let (config, keyspace) = (Config::parse(&url)?, Keyspace::new("exchange-rate")?);
            cache = cache.l2(RedisTier::new(Client::connect(&config, Role::Cache).await?, &keyspace));
            let client = Client::connect(&config, Role::Durable).await?;
            Arc::new(RedisLimiter::builder("upstream", window, client, keyspace).build()?)
        }
        Err(_) => Arc::new(MemoryLimiter::builder("upstream", window).build()),
    };
    // A rate that callers use is loaded anew before it is stale.
    let class = TtlClass::new("rates", ttl).refresh_ahead(ttl / 4).grace(GRACE);
    let class = class.soft_timeout(STALE_AFTER).hard_timeout(GIVE_UP_AFTER);
    let rates = cache.build().typed_with_codec(class, tidegate_cache::Json::new());

    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (upstream, simulated) = match env::var("UPSTREAM_URL") {
        Ok(url) => (url, Router::new()),
        Err(_) => (address.clone(), upstream::routes()),
    };
    let upstream: Uri = upstream.parse().context("UPSTREAM_URL must be an address")?;
    ensure!(upstream.scheme_str() == Some("http"), "UPSTREAM_URL must begin with http://");
    let service = Service::new(&upstream, quota)?;
    let router = Router::new()
        .route("/rates/{from}/{to}", get(rate))
        .route("/breaker", get(breaker))
        .with_state(Exchange { rates, ttl, service })
        .merge(simulated);
    println!("listening on {address}");
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize)]
struct Conversion {
    /// In hundredths, such as cents.
    amount: Option<u64>,
}

pub(crate) type Codes = Result<Path<(String, String)>, PathRejection>;
type Parameters = Result<Query<Conversion>, QueryRejection>;

async fn rate(State(exchange): State<Exchange>, codes: Codes, query: Parameters) -> Answer {
    let Path((from, to)) = codes.map_err(|error| unprocessable(error.body_text()))?;
    for code in [&from, &to] {
        if code.len() != 3 || !code.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(unprocessable(format!("`{code}` is no currency code, which has three capital letters")));
        }
        // An unknown code costs no call.
        if !upstream::CURRENCIES.iter().any(|(known, _)| known == code) {
            return Err(Refused(StatusCode::NOT_FOUND, format!("there is no currency `{code}`")));
        }
    }
    if from == to {
        return Err(unprocessable(format!("both currencies are {from}")));
    }
    let Query(Conversion { amount }) = query.map_err(|error| unprocessable(error.body_text()))?;
    let (pair, ttl, service) = (format!("{from}/{to}"), exchange.ttl, exchange.service);

    let key = Key::builder("rate").part(&from).part(&to).build();
    let key = key.map_err(|error| unprocessable(error.to_string()))?;
    let load = async move || service.rate(&from, &to).await.map(Fill::new);
    let rate = exchange.rates.fetch(&key, load).await?.value;
    let age_ms = now_ms().saturating_sub(rate.fetched_at_ms);
    let mut answer = json!({
        "pair": pair,
        "rate_millionths": rate.millionths,
        "fetched_at_ms": rate.fetched_at_ms,
        "age_ms": age_ms,
        "is_stale": u128::from(age_ms) > ttl.as_millis(),
    });
    if let Some(amount) = amount {
        // Rounded half up.
        let converted = (u128::from(amount) * u128::from(rate.millionths) + 500_000) / 1_000_000;
        let converted = u64::try_from(converted);
        let converted = converted.map_err(|_| unprocessable(format!("amount {amount} is too large to convert")))?;
        answer["converted"] = Value::from(converted);
    }
    Ok(Json(answer))
}

/// Whether this process calls the service at present.
async fn breaker(State(exchange): State<Exchange>) -> Json<Value> {
    let state = format!("{:?}", exchange.service.breaker.state()).to_lowercase();
    Json(json!({ "process": std::process::id(), "breaker": state }))
}

fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

type Answer = Result<Json<Value>, Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

fn unprocessable(reason: String) -> Refused {
    Refused(StatusCode::UNPROCESSABLE_ENTITY, reason)
}

/// No rate is known, and none can be had now.
impl From<LoadError<Error<Failure>>> for Refused {
    fn from(error: LoadError<Error<Failure>>) -> Self {
        let reason = match error {
            LoadError::Loader(cause) => cause.to_string(),
            error => error.to_string(),
        };
        Self(StatusCode::SERVICE_UNAVAILABLE, format!("no rate is known: {reason}"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
