use std::time::Duration;

use futures_util::future::join_all;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Process, binary};

/// Shorter than the 30 s that a pool waits for a connection by default.
const LONG: Duration = Duration::from_secs(20);

/// Starts an example, which must refuse these variables for this reason.
async fn does_not_start(name: &str, variables: &[(&str, &str)], reason: &str) {
    let mut process = Process::builder(binary(&format!("examples/{name}"))).env("PORT", "0");
    for (variable, value) in variables {
        process = process.env(variable, value);
    }
    let mut process = process.start().unwrap();
    let status = process.wait_for_exit(LONG).await.unwrap();
    assert!(!status.success(), "{name} with {variables:?} ended with {status}");
    assert!(process.log().find(|line| line.contains(reason)).is_some(), "{:?}", process.log().lines());
}

#[tokio::test]
async fn an_example_that_has_one_of_two_servers_does_not_start() {
    // No server listens there. None is needed to detect that the other one is missing.
    let servers = [("REDIS_URL", "redis://127.0.0.1:1"), ("DATABASE_URL", "postgres://postgres@127.0.0.1:1/postgres")];
    for name in ["coupons", "feed", "leaderboard", "payment", "product_page"] {
        for server in servers {
            let reason = format!("set both REDIS_URL and DATABASE_URL, or neither: {} is set alone", server.0);
            does_not_start(name, &[server], &reason).await;
        }
    }
}

#[tokio::test]
async fn an_example_without_a_database_ends_within_seconds() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let servers = [("REDIS_URL", url.as_str()), ("DATABASE_URL", "postgres://postgres@127.0.0.1:1/postgres")];
    let names = ["coupons", "feed", "leaderboard", "payment", "product_page"];
    join_all(names.map(|name| does_not_start(name, &servers, "timed out"))).await;
}

#[tokio::test]
async fn an_example_without_time_for_a_user_does_not_start() {
    does_not_start("coupons", &[("HOLD_SECONDS", "0")], "HOLD_SECONDS must be above 0").await;
    does_not_start("checkout", &[("HOLD_SECONDS", "0")], "HOLD_SECONDS must be from 1 to 86400, a day").await;
    does_not_start("checkout", &[("HOLD_SECONDS", "86401")], "HOLD_SECONDS must be from 1 to 86400, a day").await;
    does_not_start("time_sale", &[("PAY_WITHIN_SECONDS", "0")], "PAY_WITHIN_SECONDS must be from 1 to 86400").await;
    does_not_start("time_sale", &[("PAY_WITHIN_SECONDS", "86401")], "PAY_WITHIN_SECONDS must be from 1 to 86400").await;
    does_not_start("exchange_rate", &[("RATE_TTL_MS", "0")], "RATE_TTL_MS must be from 1 to 3600000").await;
    does_not_start("feed", &[("KEPT", "0")], "KEPT must be above 0").await;
    does_not_start("coupons", &[("HOLD_SECONDS", "soon")], "HOLD_SECONDS must be a whole number").await;
}
