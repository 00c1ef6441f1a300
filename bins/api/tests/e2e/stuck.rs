//! A store that is locked for a while.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Api, DEADLINE, client};

const BUSY: (&str, &str) = ("TIDEGATE_LIMIT_DDOS", "1000000/second");

/// A process on the same directory that was stopped in the middle of a write. It keeps SQLite's
/// write lock until it is dropped.
pub(crate) struct Stuck {
    _writer: Api,
    _traffic: JoinSet<()>,
}

impl Stuck {
    /// Stops a neighbour of that API while it holds the lock. Sends no request to the API itself.
    pub(crate) async fn beside(api: &Api) -> Self {
        let mut writer = api.start_beside(&[BUSY]).await;
        let witness = api.start_beside(&[BUSY, ("TIDEGATE_HTTP_TIMEOUTS", "request=1s")]).await;
        let mut traffic = JoinSet::new();
        for of in 0..4 {
            traffic.spawn(write(format!("{}/api/tenants", writer.url), of));
        }
        let deadline = Instant::now() + DEADLINE;
        for try_ in 0.. {
            writer.process.pause().await.expect("it stops");
            let tenant = json!({"id": format!("witness-{try_}"), "name": "W", "tier": "free"});
            let seen = witness.request(Method::POST, "/api/tenants").json(&tenant).send().await.expect("an answer");
            if seen.status() == 503 {
                break;
            }
            assert!(Instant::now() < deadline, "it is never stopped in a write");
            writer.process.resume().expect("it goes on");
        }
        Self { _writer: writer, _traffic: traffic }
    }
}

/// Writes without end.
async fn write(url: String, of: usize) {
    let client = client();
    for number in 0_u64.. {
        let tenant = json!({"id": format!("writer-{of}-{number}"), "name": "W", "tier": "free"});
        if client.post(&url).json(&tenant).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
