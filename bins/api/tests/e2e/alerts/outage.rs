//! A handler that fails from one request to the next, while others are served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, client, schedule, success_json};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(10);

/// An API under steady traffic of two handlers, of which one needs Redis and the other doesn't.
pub(super) struct Outage {
    pub(super) api: Api,
    redis: RedisServer,
    shared: Arc<Shared>,
    /// Ends with the test.
    _traffic: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    first_failure: OnceLock<Instant>,
    good_failures: AtomicUsize,
}

impl Outage {
    /// Starts all of it, and returns when both handlers have answered and health is good.
    pub(super) async fn prepare(variables: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start().await;
        let own = [("TIDEGATE_LIMIT_DDOS", "1000000/second")];
        let variables: Vec<_> = own.iter().chain(variables).copied().collect();
        let api = Api::start_on(Servers::At(redis.url()), &variables).await;
        let limits = json!({"per_minute": 100_000_000, "per_hour": 100_000_000, "per_day": 100_000_000});
        let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise", "limits": limits});
        success_json(api.request(reqwest::Method::POST, "/api/tenants").json(&tenant)).await;
        let create = api.request(reqwest::Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        success_json(create.json(&schedule("one"))).await;
        success_json(api.request(reqwest::Method::GET, "/api/queue")).await;
        // Probes say nothing of how it is: it has to be used.
        let healthy = poll_until(DEADLINE, async || {
            success_json(api.request(reqwest::Method::GET, "/api/queue")).await;
            (api.json("/health").await["status"] == "pass").then_some(())
        });
        healthy.await.expect("a good beginning");

        let shared = Arc::new(Shared::default());
        let mut traffic = JoinSet::new();
        traffic.spawn(good(format!("{}/api/schedules", api.url), Arc::clone(&shared)));
        for _ in 0..2 {
            traffic.spawn(failing(format!("{}/api/queue", api.url), Arc::clone(&shared)));
        }
        Self { api, redis, shared, _traffic: traffic }
    }

    /// Takes away what one of the handlers needs. It has not failed before.
    pub(super) fn begin(&mut self) {
        assert_eq!(self.shared.first_failure.get(), None, "a failure before the outage");
        self.redis.kill9();
    }

    /// Gives it back.
    pub(super) async fn end(&mut self) {
        self.redis.restart().await;
    }

    /// How often the handler failed that needs no Redis.
    pub(super) fn good_failures(&self) -> usize {
        self.shared.good_failures.load(Ordering::Relaxed)
    }

    /// When the first request failed.
    pub(super) async fn first_failure(&self) -> Instant {
        let failed = poll_until(DEADLINE, async || self.shared.first_failure.get().copied());
        failed.await.expect("a request fails")
    }
}

async fn good(url: String, shared: Arc<Shared>) {
    let client = client();
    loop {
        let answer = client.get(&url).header("x-tenant-id", "acme").send().await;
        if answer.is_ok_and(|answer| answer.status().is_server_error()) {
            shared.good_failures.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn failing(url: String, shared: Arc<Shared>) {
    let client = client();
    loop {
        let answer = client.get(&url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_server_error()) {
            shared.first_failure.get_or_init(Instant::now);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
