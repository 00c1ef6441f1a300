//! What is Redis' own: what a start says of it, what an outage costs, which keys it is left with.

mod bad_start;
mod keyspace;
mod load;
mod outages;
mod start;

use serde_json::Value;
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE};

/// What the API knows of Redis.
async fn report(api: &Api) -> Value {
    api.json("/api/performance").await["redis"].clone()
}

/// Waits until every use of Redis is served, or one isn't.
async fn until_available(api: &Api, available: bool) {
    let seen = poll_until(DEADLINE, async || (report(api).await["available"] == available).then_some(()));
    assert!(seen.await.is_ok(), "it does not become {available}: {}", report(api).await);
}

/// The value of a metric, by its name and labels as they are written.
async fn metric(api: &Api, name: &str) -> Option<f64> {
    let answer = api.request(reqwest::Method::GET, "/metrics").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("text");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
