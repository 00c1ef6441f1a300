//! Readers of one process right after updates of another one; and a process that died between
//! update and removal.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until};

const LONG: Duration = Duration::from_secs(30);
const UPDATES: i64 = 20;
const PAGE: &str = "/products/7";

#[derive(Clone)]
struct Shop(Api);

impl Shop {
    /// Starts a process, and waits until it has searched for old pages.
    async fn start(redis: &RedisServer, postgres: &PostgresServer) -> (Process, Self) {
        let process = Process::builder(binary("examples/product_page")).env("PORT", "0");
        let process = process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url());
        let mut process = process.start().unwrap();
        let shop = Self(Api::of(&mut process).await.unwrap());
        poll_until(LONG, async || (shop.statements().await == 1).then_some(())).await.unwrap();
        (process, shop)
    }

    async fn statements(&self) -> i64 {
        self.0.get("/statements").await.unwrap().number("statements").unwrap()
    }

    async fn version(&self) -> i64 {
        self.0.get(PAGE).await.unwrap().expect(200).unwrap().number("version").unwrap()
    }

    async fn update(&self, key: &str, price: i64) -> i64 {
        let body = json!({ "price": price });
        let put = self.0.send(Method::PUT, PAGE, Some(key), Some(&body));
        put.await.unwrap().expect(200).unwrap().number("version").unwrap()
    }
}

#[tokio::test]
async fn no_process_shows_an_older_page_after_an_update_was_answered() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let (_process, writer) = Shop::start(&redis, &postgres).await;
    let (mut process, reader) = Shop::start(&redis, &postgres).await;
    for price in 1..=UPDATES {
        let before = reader.version().await;
        // The reader's process receives nothing until it has a request to answer.
        process.pause().await.unwrap();
        let version = writer.update(&price.to_string(), price).await;
        let other = reader.clone();
        let reading = tokio::spawn(async move { other.version().await });
        writer.statements().await;
        process.resume().unwrap();
        assert_eq!((version, reading.await.unwrap()), (before + 1, before + 1));
    }
}

#[tokio::test]
async fn an_old_page_of_a_process_that_died_is_removed_by_another_one() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let (_process, shop) = Shop::start(&redis, &postgres).await;
    let opening = shop.version().await;
    // A process wrote this, and died.
    postgres
        .psql(
            "INSERT INTO prices SELECT 7, MAX(version) + 1, 5, EXTRACT(EPOCH FROM now()), 'k'
             FROM prices WHERE product_id = 7",
        )
        .await;
    assert_eq!(shop.version().await, opening);
    let _next = Shop::start(&redis, &postgres).await;
    poll_until(LONG, async || (shop.version().await == opening + 1).then_some(())).await.unwrap();
    // Its client comes again, and is answered the version of the first time.
    assert_eq!(shop.update("k", 5).await, opening + 1);
}

#[tokio::test]
async fn all_statements_are_counted_and_an_update_is_one() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let (_process, shop) = Shop::start(&redis, &postgres).await;
    shop.update("k", 5).await;
    assert_eq!(shop.statements().await, 2);
    for _ in 0..3 {
        shop.version().await;
    }
    assert_eq!(shop.statements().await, 3);
}
