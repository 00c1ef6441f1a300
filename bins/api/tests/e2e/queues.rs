//! `/api/queue`: every route, with what is right and with what is not.

pub(crate) mod actions;
pub(crate) mod batches;
pub(crate) mod bulk;
pub(crate) mod create;
pub(crate) mod cron;
mod hostile;
pub(crate) mod jobs;
pub(crate) mod overview;
pub(crate) mod repeated;
pub(crate) mod settings;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{Api, problem, success_json};

const QUEUE: &str = "/api/queue/import";
const JOBS: &str = "/api/queue/import/jobs";
const BULK: &str = "/api/queue/import/jobs/bulk";

/// An API that runs no jobs, so that they stay where they are put.
async fn start() -> Api {
    Api::start_with(&[("TIDEGATE_WORKER", "none")]).await
}

/// An API that runs jobs itself, wherever they lie.
async fn start_with_worker() -> Api {
    Api::start_with(&[("TIDEGATE_WORKER", "inner")]).await
}

/// Sends a body with a POST.
fn post(api: &Api, path: &str, body: &Value) -> RequestBuilder {
    api.request(Method::POST, path).json(body)
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Enqueues a job and returns its id.
async fn enqueue(api: &Api, body: &Value) -> String {
    let answer = send(post(api, JOBS, body)).await;
    assert_eq!(answer.status(), 201, "{body}");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let id = answer.json::<Value>().await.expect("JSON")["id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("{JOBS}/{id}"));
    id
}

/// The answer must be that problem, and short.
async fn refused(request: RequestBuilder, status: u16, kind: &str) -> Value {
    let body = problem(send(request).await, status, kind).await;
    assert!(body.to_string().len() < 8_000, "an answer of {} bytes", body.to_string().len());
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    body
}

/// A change of a queue or a job, that must succeed with JSON.
async fn done(api: &Api, path: &str) -> Value {
    success_json(api.request(Method::POST, path)).await
}

/// How many jobs of the queue are in each state that has any.
async fn counts(api: &Api) -> Value {
    let queue = api.json(QUEUE).await;
    let states = ["ready", "delayed", "waiting", "leased", "done", "dead", "cancelled"];
    let counts = states.iter().filter(|state| queue[**state] != 0);
    counts.map(|state| ((*state).to_owned(), queue[*state].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The ids of the jobs in a state, in the order of the list.
async fn ids(api: &Api, state: &str) -> Vec<String> {
    let page = api.json(&format!("{JOBS}?state={state}&limit=200")).await;
    let items = page["items"].as_array().expect("items");
    items.iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

/// A job of an unknown kind.
fn job() -> Value {
    json!({"kind": "test", "payload": {"n": 1}})
}
