//! A caller that holds the lock of an order is suspended until its lease has ended.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until};

const LONG: Duration = Duration::from_secs(30);
/// Time that the provider takes for the caller that will be suspended.
const SLOW: Duration = Duration::from_millis(500);

/// Starts the example; its provider takes this long.
async fn start(redis: &RedisServer, postgres: &PostgresServer, provider: Duration) -> (Process, Api) {
    let process = Process::builder(binary("examples/payment")).env("PORT", "0").env("REDIS_URL", redis.url());
    let process = process.env("DATABASE_URL", postgres.url()).env("PROVIDER_MS", provider.as_millis().to_string());
    let mut process = process.start().unwrap();
    let api = Api::of(&mut process).await.unwrap();
    (process, api)
}

async fn pay(api: Api, key: &'static str, user: &'static str) -> (u16, Value) {
    let body = json!({ "order": "o-1", "user": user, "amount": 700 });
    let answer = api.post("/payments", Some(key), &body).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

async fn get(api: &Api, path: &str) -> Value {
    api.get(path).await.unwrap().body
}

#[tokio::test]
async fn a_caller_that_is_suspended_past_its_lease_takes_no_money_when_it_goes_on() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let (mut process, first) = start(&redis, &postgres, SLOW).await;
    let (_process, second) = start(&redis, &postgres, Duration::ZERO).await;

    let suspended = tokio::spawn(pay(first.clone(), "first", "user-1"));
    let token = poll_until(LONG, async || get(&second, "/payments/o-1").await["fence"].as_i64());
    let token = token.await.unwrap();
    process.pause().await.unwrap();

    // The lease ends, and the next caller pays.
    let (status, receipt) = pay(second.clone(), "second", "user-2").await;
    assert_eq!(status, 201, "{receipt}");
    let payment = get(&second, "/payments/o-1").await;
    assert_eq!((&payment["user"], &payment["paid"]), (&json!("user-2"), &json!(true)), "{payment}");
    assert!(payment["fence"].as_i64().unwrap() > token, "{payment} after {token}");

    // The first process continues where it was: between the provider and SQL.
    process.resume().unwrap();
    let (status, refusal) = suspended.await.unwrap();
    assert_eq!((status, &refusal["error"]), (409, &json!("order `o-1` has been paid for")));
    let (status, refusal) = pay(first.clone(), "first", "user-1").await;
    assert_eq!(status, 409, "{refusal}");
    assert_eq!(get(&first, "/payments/o-1").await, payment);
    let totals = get(&first, "/totals").await;
    assert_eq!(totals, json!({ "payments": 1, "paid": 700, "debited": 700 }));

    // The user that paid gets the same answer again, from the other process too.
    assert_eq!(pay(first.clone(), "second", "user-2").await, (201, receipt));

    // Its key pays for no other order, even after Redis has forgotten it.
    redis.cli(&["FLUSHALL"]).await;
    let other = json!({ "order": "o-2", "user": "user-2", "amount": 700 });
    let refusal = first.post("/payments", Some("second"), &other).await.unwrap().body;
    assert_eq!(refusal["error"], "this Idempotency-Key was used for another payment");
    assert_eq!(get(&first, "/totals").await, totals);
}
