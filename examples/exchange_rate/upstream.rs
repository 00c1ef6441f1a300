//! A simulated service. Its rates differ from call to call, and `PUT /upstream/mode` makes it fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Currencies, and their value in millionths of a dollar.
pub(crate) const CURRENCIES: [(&str, u64); 24] = [
    ("AUD", 650_000),
    ("BRL", 185_000),
    ("CAD", 710_000),
    ("CHF", 1_240_000),
    ("CNY", 140_000),
    ("CZK", 47_800),
    ("DKK", 155_000),
    ("EUR", 1_160_000),
    ("GBP", 1_310_000),
    ("HKD", 128_000),
    ("HUF", 3_000),
    ("INR", 11_200),
    ("JPY", 6_400),
    ("MXN", 54_000),
    ("NOK", 98_000),
    ("NZD", 560_000),
    ("PLN", 273_000),
    ("RON", 228_000),
    ("SEK", 105_000),
    ("SGD", 767_000),
    ("THB", 30_800),
    ("TRY", 23_500),
    ("USD", 1_000_000),
    ("ZAR", 58_000),
];
/// Calls that are listed.
const LISTED: usize = 10_000;
/// Longer than any caller waits.
const SLOW: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Up,
    /// Every second call fails.
    Flaky,
    Down,
    Slow,
}

#[derive(Clone, Serialize)]
struct Call {
    pair: String,
    at_ms: u64,
    /// `None` if the call fails.
    rate_millionths: Option<u64>,
}

#[derive(Default)]
struct Calls {
    mode: Mode,
    count: u64,
    last: VecDeque<Call>,
}

type Shared = Arc<Mutex<Calls>>;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/upstream/rates/{from}/{to}", get(rate))
        .route("/upstream/mode", put(set_mode))
        .route("/upstream/calls", get(calls))
        .with_state(Shared::default())
}

async fn rate(State(calls): State<Shared>, codes: crate::Codes) -> (StatusCode, Json<Value>) {
    let Path((from, to)) = match codes {
        Ok(codes) => codes,
        Err(error) => return (error.status(), Json(json!({ "error": error.body_text() }))),
    };
    let value = |code: &str| CURRENCIES.iter().find(|(name, _)| *name == code).map(|(_, value)| *value);
    let (Some(of), Some(in_terms_of)) = (value(&from), value(&to)) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": "unknown currency" })));
    };
    let (mode, rate) = {
        let mut calls = lock(&calls);
        calls.count += 1;
        let (mode, count) = (calls.mode, calls.count);
        // A tenth of a percent up or down from call to call.
        let rate = of * 1_000_000 / in_terms_of * (1_000 + count % 10) / 1_000;
        let fails = mode == Mode::Down || mode == Mode::Flaky && count % 2 == 1;
        let rate = (!fails).then_some(rate);
        calls.last.push_back(Call { pair: format!("{from}/{to}"), at_ms: crate::now_ms(), rate_millionths: rate });
        if calls.last.len() > LISTED {
            calls.last.pop_front();
        }
        (mode, rate)
    };
    if mode == Mode::Slow {
        tokio::time::sleep(SLOW).await;
    }
    match rate {
        Some(rate) => (StatusCode::OK, Json(json!({ "rate_millionths": rate }))),
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "out of order" }))),
    }
}

#[derive(Deserialize)]
struct NewMode {
    mode: Mode,
}

async fn set_mode(
    State(calls): State<Shared>,
    body: Result<Json<NewMode>, JsonRejection>,
) -> (StatusCode, Json<Value>) {
    match body {
        Ok(Json(NewMode { mode })) => {
            lock(&calls).mode = mode;
            (StatusCode::OK, Json(json!({ "mode": mode })))
        }
        Err(error) => (error.status(), Json(json!({ "error": error.body_text() }))),
    }
}

/// All calls, those that failed included, and the last ones one by one.
async fn calls(State(calls): State<Shared>) -> Json<Value> {
    let (count, last) = {
        let calls = lock(&calls);
        (calls.count, calls.last.clone())
    };
    Json(json!({ "count": count, "calls": last }))
}

fn lock(calls: &Shared) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
