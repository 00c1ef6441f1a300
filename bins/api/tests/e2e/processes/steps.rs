//! What the tests of several processes do again and again.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::{Process, poll_until};

use crate::harness::{Api, DEADLINE, header, schedule, success_json};

/// An API that leaves the jobs to others, and whose readers may be as fast as they can.
pub(super) const API_ALONE: &[(&str, &str)] = &[("TIDEGATE_WORKER", "none"), ("TIDEGATE_LIMIT_DDOS", "1000000/second")];

pub(super) async fn two_apis() -> (Api, Api) {
    let a = Api::start_with(API_ALONE).await;
    let b = a.start_beside(API_ALONE).await;
    create_unlimited(&a, "acme").await;
    (a, b)
}

/// Creates a tenant whose quota no test uses up.
pub(super) async fn create_unlimited(api: &Api, tenant: &str) {
    let limits = json!({"per_minute": 1_000_000, "per_hour": 1_000_000, "per_day": 1_000_000});
    let body = json!({"id": tenant, "name": tenant, "tier": "enterprise", "limits": limits});
    success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
}

pub(super) async fn set_plan(api: &Api, plan: Value) {
    success_json(api.request(Method::POST, "/api/rate-limit").json(&plan)).await;
}

pub(super) async fn create(api: &Api, title: &str) -> String {
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule(title));
    success_json(request).await["id"].as_str().expect("an id").to_owned()
}

pub(super) fn put(api: &Api, path: &str, title: &str) -> RequestBuilder {
    api.request(Method::PUT, path).header("x-tenant-id", "acme").json(&schedule(title))
}

pub(super) async fn title_of(answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let schedule: Value = answer.json().await.expect("JSON");
    schedule["title"].as_str().expect("a title").to_owned()
}

/// Returns the round in the schedule's title.
pub(super) async fn round_at(api: &Api, path: &str) -> usize {
    let title = title_of(api.get_as("acme", path).send().await.expect("an answer")).await;
    title.parse().expect("a round")
}

pub(super) async fn items_of(answer: Response) -> usize {
    assert_eq!(answer.status(), StatusCode::OK);
    let page: Value = answer.json().await.expect("JSON");
    page["items"].as_array().expect("items").len()
}

pub(super) fn cache_status(answer: &Response) -> String {
    header(answer, "cache-status")
}

pub(super) async fn is_hit(api: &Api, path: &str) -> bool {
    let answer = api.get_as("acme", path).send().await.expect("an answer");
    cache_status(&answer).starts_with("tidegate; hit")
}

/// How many rows the import has reported.
pub(super) fn imported_so_far(job: &Value) -> usize {
    let message = job["progress"]["message"].as_str().unwrap_or("0 imported");
    message.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}

/// The numbers of the bad lines in the job's result.
pub(super) fn reject_lines(job: &Value) -> Vec<u64> {
    let rejects = job["result"]["rejects"].as_array().expect("rejects");
    rejects.iter().map(|reject| reject["line"].as_u64().expect("a number")).collect()
}

pub(super) fn start_worker(api: &Api, variables: &[(&str, &str)]) -> Process {
    api.worker(variables).start().expect("the worker starts")
}

/// The workers that said last that they run a job.
pub(super) async fn busy_workers(api: &Api) -> Vec<Value> {
    let queue = api.json("/api/queue/import").await;
    let workers = queue["workers"].as_array().expect("workers").clone();
    workers.into_iter().filter(|worker| worker["running"] != 0).collect()
}

/// The process that runs the import, once it has begun, and its id as a worker.
pub(super) async fn worker_of_the_import<'a>(
    api: &Api,
    workers: &'a mut [Process],
    id: &str,
) -> (&'a mut Process, String) {
    api.job_when(id, |job| job["state"] == "leased" && job["progress"].is_object()).await;
    let busy = poll_until(DEADLINE, async || busy_workers(api).await.pop()).await.expect("one says that it runs it");
    let process = workers.iter_mut().find(|worker| busy["pid"] == json!(worker.pid())).expect("one of these");
    (process, busy["id"].as_str().expect("an id").to_owned())
}

/// Stops a worker outside of its transactions. Inside one it would hold the lock of a database,
/// which SQLite takes from a dead process and not from a stopped one.
pub(super) async fn hang(api: &Api, worker: &mut Process) {
    let plan = json!({"tenant_id": "acme", "tier": "enterprise"});
    let hung = poll_until(DEADLINE, async || {
        worker.pause().await.expect("it runs");
        let writes = [
            api.request(Method::POST, "/api/queue/import/resume"),
            api.request(Method::POST, "/api/rate-limit").json(&plan),
        ];
        let [jobs, tables] = writes.map(|write| write.timeout(Duration::from_secs(1)).send());
        let answers: [_; 2] = tokio::join!(jobs, tables).into();
        if answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status().is_success())) {
            return Some(());
        }
        worker.resume().expect("it runs");
        None
    });
    hung.await.expect("it holds no lock at some moment");
}

/// Sends another request too: without requests nothing is known, and silence is not health.
pub(super) async fn health_when(api: &Api, when: impl Fn(&Value) -> bool) -> Value {
    let told = poll_until(DEADLINE, async || {
        api.json("/api/queue").await;
        Some(api.json("/health").await).filter(&when)
    });
    told.await.expect("health reports it")
}

pub(super) fn reason_of_the_queue(health: &Value) -> Option<&Value> {
    let reasons = health["reasons"].as_array()?;
    reasons.iter().find(|reason| reason["component"] == "queues_without_live_worker")
}

pub(super) fn is_unserved(health: &Value) -> bool {
    reason_of_the_queue(health).is_some()
}
