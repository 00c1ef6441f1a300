//! The named limiters: changes at run time, decisions for other services, clients' identity.

mod anomalies;
pub(crate) mod changes;
mod commands;
pub(crate) mod decisions;
pub(crate) mod identity;
mod leases;
pub(crate) mod lists;
mod modes;
mod nodes;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{Api, success_json};

const ADMIN: &str = "admin-token-0123456789";
const READ: &str = "read-token-0123456789";
const SERVICE: &str = "service-token-0123456789";
const TOKENS: [(&str, &str); 3] =
    [("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_READ_TOKEN", READ), ("TIDEGATE_SERVICE_TOKEN", SERVICE)];

/// A question to the decision service, on an API without tokens.
fn ask(api: &Api, body: &Value) -> RequestBuilder {
    api.request(Method::POST, "/api/rate-limit/check").json(body)
}

/// The decision about one request of `key`.
///
/// With the admin token, as all that follows: with tokens set, the limiter in front then skips the
/// test.
async fn decide(api: &Api, limiter: &str, key: &str) -> Value {
    success_json(ask(api, &json!({"limiter": limiter, "key": key})).bearer_auth(ADMIN)).await
}

/// Returns what remains for `key`.
async fn left(api: &Api, limiter: &str, key: &str) -> Value {
    let look = ask(api, &json!({"limiter": limiter, "key": key, "peek": true}));
    success_json(look.bearer_auth(ADMIN)).await["remaining"].clone()
}

async fn change(api: &Api, body: &Value) -> Value {
    success_json(api.request(Method::POST, "/api/rate-limit").bearer_auth(ADMIN).json(body)).await
}

async fn block(api: &Api, limiter: &str, key: &str, seconds: u64) -> Value {
    let body = json!({"limiter": limiter, "key": key, "seconds": seconds});
    success_json(api.request(Method::POST, "/api/rate-limit/block").bearer_auth(ADMIN).json(&body)).await
}

async fn unblock(api: &Api, limiter: &str, key: &str) -> Value {
    let path = format!("/api/rate-limit/block?limiter={limiter}&key={key}");
    success_json(api.request(Method::DELETE, &path).bearer_auth(ADMIN)).await["unblocked"].clone()
}

/// The limiter as operations see it.
async fn shown(api: &Api, limiter: &str) -> Value {
    let body = success_json(api.request(Method::GET, "/api/rate-limit").bearer_auth(ADMIN)).await;
    let limiters = body["limiters"].as_array().expect("limiters");
    limiters.iter().find(|found| found["name"] == limiter).expect("the limiter").clone()
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}
