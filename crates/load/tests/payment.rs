//! A caller that holds the lock of an order is suspended until its lease has ended.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until};

const ADDRESS: &str = "listening on ";
const LONG: Duration = Duration::from_secs(30);
/// Time that the provider takes for the caller that will be suspended.
const SLOW: Duration = Duration::from_millis(500);

/// Starts the example; its provider takes so long. Returns its address too.
async fn start(redis: &RedisServer, postgres: &PostgresServer, provider: Duration) -> (Process, String) {
    let process = Process::builder(binary("examples/payment")).env("PORT", "0").env("REDIS_URL", redis.url());
    let process = process.env("DATABASE_URL", postgres.url()).env("PROVIDER_MS", provider.as_millis().to_string());
    let mut process = process.start().unwrap();
    let line = process.wait_for_line(ADDRESS, LONG).await.unwrap();
    let address = line.split_once(ADDRESS).unwrap().1.to_owned();
    (process, address)
}

async fn pay(client: Client, address: String, key: &'static str, user: &'static str) -> (u16, Value) {
    let body = json!({ "order": "o-1", "user": user, "amount": 700 });
    let request = client.post(format!("{address}/payments")).header("idempotency-key", key).json(&body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(client: &Client, address: &str, path: &str) -> Value {
    client.get(format!("{address}{path}")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_caller_that_is_suspended_past_its_lease_takes_no_money_when_it_goes_on() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let (mut first, first_address) = start(&redis, &postgres, SLOW).await;
    let (_second, second_address) = start(&redis, &postgres, Duration::ZERO).await;
    let client = tidegate_testkit::http_client().no_proxy().timeout(LONG).build().unwrap();

    let suspended = tokio::spawn(pay(client.clone(), first_address.clone(), "first", "user-1"));
    let token = poll_until(LONG, async || get(&client, &second_address, "/payments/o-1").await["fence"].as_i64());
    let token = token.await.unwrap();
    first.pause().await.unwrap();

    // The lease ends, and the next caller pays.
    let (status, receipt) = pay(client.clone(), second_address.clone(), "second", "user-2").await;
    assert_eq!(status, 201, "{receipt}");
    let payment = get(&client, &second_address, "/payments/o-1").await;
    assert_eq!((&payment["user"], &payment["paid"]), (&json!("user-2"), &json!(true)), "{payment}");
    assert!(payment["fence"].as_i64().unwrap() > token, "{payment} after {token}");

    // The first goes on where it was: between the provider and SQL.
    first.resume().unwrap();
    let (status, refusal) = suspended.await.unwrap();
    assert_eq!((status, &refusal["error"]), (409, &json!("order `o-1` has been paid for")));
    let (status, refusal) = pay(client.clone(), first_address.clone(), "first", "user-1").await;
    assert_eq!(status, 409, "{refusal}");
    assert_eq!(get(&client, &first_address, "/payments/o-1").await, payment);
    let totals = get(&client, &first_address, "/totals").await;
    assert_eq!(totals, json!({ "payments": 1, "paid": 700, "debited": 700 }));

    // The one who paid is answered the same again, by the other process too.
    assert_eq!(pay(client.clone(), first_address.clone(), "second", "user-2").await, (201, receipt));

    // Its key pays for no other order, also when Redis has forgotten it.
    redis.cli(&["FLUSHALL"]).await;
    let other = json!({ "order": "o-2", "user": "user-2", "amount": 700 });
    let request = client.post(format!("{first_address}/payments")).header("idempotency-key", "second").json(&other);
    let refusal: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(refusal["error"], "this Idempotency-Key was used for another payment");
    assert_eq!(get(&client, &first_address, "/totals").await, totals);
}
