//! An impossible request to an example is refused with a reason, and changes nothing.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod checkout;
mod coupons;
mod environment;
mod exchange_rate;
mod feed;
mod leaderboard;
mod payment;
mod points;
mod postgresql;
mod product_page;
mod time_sale;
mod transfer;

use reqwest::Method;
use serde_json::Value;
use tidegate_load::{Api, ExampleOptions, ExampleProcesses, scenario};

/// One process of an example, on memory and SQLite.
async fn start(name: &str) -> ExampleProcesses {
    let scenario = scenario::find(name).unwrap();
    ExampleProcesses::start(&*scenario, ExampleOptions { processes: 1, embedded: true, fsync_always: false })
        .await
        .unwrap()
}

/// Sends a request that must be refused with this status, and a reason that contains `why`.
async fn refuses(
    api: &Api,
    (method, path): (Method, &str),
    key: Option<&str>,
    body: Value,
    (status, why): (u16, &str),
) {
    let answer = api.send(method, path, key, Some(&body)).await.unwrap();
    let reason = answer.body["error"].as_str().unwrap_or_default();
    assert!(
        answer.status.as_u16() == status && reason.contains(why),
        "{path} {body} was answered {} {}, not {status} `{why}`",
        answer.status,
        answer.body
    );
}
