//! Many requests for the points of one user; a process that dies among them, with clients that do
//! not repeat; and a client that leaves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Process, binary, poll_until, scale};
use tokio::time::timeout;

const USES: usize = 300;
const REQUESTS: usize = 200;
/// Requests that are acknowledged when the process is killed.
const SOME: u64 = 20;

struct Shop(Api);

impl Shop {
    async fn of(process: &mut Process) -> Self {
        Self(Api::of(process).await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        self.0.get(path).await.unwrap().body
    }

    async fn sign_up(&self, user: &str) {
        self.0.send(Method::PUT, &format!("/users/{user}"), None, None).await.unwrap().expect(201).unwrap();
    }

    async fn balance(&self, user: &str, query: &str) -> u64 {
        self.get(&format!("/users/{user}/balance{query}")).await["balance"].as_u64().unwrap()
    }

    /// `None` without an answer.
    async fn post(&self, path: &str, key: String, points: u64) -> Option<(u16, Value)> {
        let answer = self.0.post(path, Some(&key), &json!({ "points": points })).await.ok()?;
        Some((answer.status.as_u16(), answer.body))
    }
}

fn process(redis: &RedisServer) -> Process {
    Process::builder(binary("examples/points")).env("PORT", "0").env("REDIS_URL", redis.url()).start().unwrap()
}

#[tokio::test]
async fn uses_at_once_never_overdraw_and_their_retries_are_counted() {
    let redis = RedisServer::start().await;
    let (mut first, mut second) = (process(&redis), process(&redis));
    let shops = [Shop::of(&mut first).await, Shop::of(&mut second).await];
    shops[0].sign_up("ada").await;
    shops[1].post("/users/ada/earnings", "welcome".to_owned(), 300).await.unwrap();

    // 201 points can be used one by one, down to the 99 of which none can.
    let uses = (0..USES).map(async |nth| {
        loop {
            let (status, body) = shops[nth % 2].post("/users/ada/uses", nth.to_string(), 1).await.unwrap();
            match status {
                // Too many at once for one account: the client tries again.
                503 => {}
                201 => return body["tries"].as_u64(),
                409 => return None,
                status => panic!("{status}: {body}"),
            }
        }
    });
    let tries: Vec<u64> = join_all(uses).await.into_iter().flatten().collect();
    assert_eq!(tries.len(), 201);
    let mut retries = 0;
    for shop in &shops {
        retries += shop.get("/stats").await["retries"].as_u64().unwrap();
    }
    let answered: u64 = tries.iter().map(|tries| tries.saturating_sub(1)).sum();
    println!("201 of {USES} uses were made; {retries} retries, {answered} of them for the successful ones");
    assert!(answered > 0 && retries >= answered, "{retries} and {answered}");
    for (shop, query) in shops.iter().zip(["", "?cache=off"]) {
        assert_eq!(shop.balance("ada", query).await, 99);
    }
}

#[tokio::test]
async fn a_killed_process_has_posted_an_entry_or_has_not() {
    let redis = RedisServer::start().await;
    let mut process = process(&redis);
    let mut shop = Shop::of(&mut process).await;
    for round in 0..scale(4, 20) {
        let user = format!("user-{round}");
        shop.sign_up(&user).await;
        let path = format!("/users/{user}/earnings");
        let earnings = (0..REQUESTS).map(|nth| (nth, shop.post(&path, nth.to_string(), 1 << (nth % 2))));
        let mut earnings: FuturesUnordered<_> = earnings.map(async |(nth, post)| (nth, post.await)).collect();
        let (mut count, mut acknowledged) = (0, 0);
        while let Some((nth, answer)) = earnings.next().await {
            if answer.is_some_and(|(status, _)| status == 201) {
                count += 1;
                acknowledged += 1 << (nth % 2);
                if count == SOME {
                    process.kill9().unwrap();
                }
            }
        }
        drop(earnings);
        process.restart().unwrap();
        shop = Shop::of(&mut process).await;
        let balance = shop.balance(&user, "?cache=off").await;
        println!("{count} of {REQUESTS} earnings were acknowledged with {acknowledged}, {balance} are in the account");
        assert!(balance >= acknowledged && balance <= 3 * REQUESTS as u64 / 2);
        assert!(shop.balance(&user, "").await >= acknowledged);
        // Each client comes again: a repeated request is not posted again.
        for nth in 0..REQUESTS {
            let (status, _) = shop.post(&path, nth.to_string(), 1 << (nth % 2)).await.unwrap();
            assert_eq!(status, 201);
        }
        assert_eq!(shop.balance(&user, "").await, 3 * REQUESTS as u64 / 2);
        assert_eq!(shop.balance(&user, "?cache=off").await, 3 * REQUESTS as u64 / 2);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_leaves_no_old_balance_behind() {
    let mut redis = RedisServer::start().await;
    let (mut first, mut second) = (process(&redis), process(&redis));
    let (first, second) = (Shop::of(&mut first).await, Shop::of(&mut second).await);
    first.sign_up("ada").await;
    assert_eq!(second.balance("ada", "").await, 0);

    // The posting is in flight when the client leaves.
    redis.hang().await;
    let earning = first.post("/users/ada/earnings?batch=off", "k".to_owned(), 300);
    assert!(timeout(Duration::from_millis(200), earning).await.is_err());
    first.get("/stats").await;
    redis.resume();

    let cached = async || second.get("/users/ada/balance").await;
    let is_new = |shown: &Value| shown["cached"] == true && shown["balance"] == 300;
    poll_until(Duration::from_secs(30), async || Some(cached().await).filter(is_new)).await.unwrap();
}
