//! A service that is too slow; a rush for few coupons and pieces; a payment that is forgotten; and
//! a process that dies among orders, with clients that do not repeat.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Process, binary, poll_until, scale};

const LONG: Duration = Duration::from_secs(30);
const PRICE: i64 = 100;
const USERS: usize = 200;
/// Orders that are acknowledged when the process is killed.
const SOME: i64 = 20;

/// Starts the example with these variables.
fn start(env: &[(&str, &str)]) -> Process {
    let builder = Process::builder(binary("examples/checkout")).env("PORT", "0");
    env.iter().fold(builder, |builder, (name, value)| builder.env(*name, *value)).start().unwrap()
}

struct Shop(Api);

impl Shop {
    async fn of(process: &mut Process) -> Self {
        Self(Api::of(process).await.unwrap())
    }

    /// Sends a request. `None` without an answer.
    async fn send(&self, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
        let answer = self.0.send(method, path, Some(path), Some(&body)).await.ok()?;
        Some((answer.status.as_u16(), answer.body))
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, Value::Null).await.unwrap().1
    }

    async fn slow_down(&self, ms: u64) {
        let answer = self.send(Method::PUT, "/services/coupon/delay", json!({ "ms": ms })).await;
        assert_eq!(answer.unwrap().0, 200);
    }

    /// Signs up a user, who earns points.
    async fn sign_up(&self, user: &str, points: i64) {
        assert_eq!(self.send(Method::PUT, &format!("/users/{user}"), Value::Null).await.unwrap().0, 201);
        let earned = self.send(Method::POST, &format!("/users/{user}/earnings"), json!({ "points": points })).await;
        assert_eq!(earned.unwrap().0, 201);
    }

    async fn coupon(&self, user: &str) -> u16 {
        self.send(Method::POST, &format!("/users/{user}/coupon"), Value::Null).await.unwrap().0
    }

    async fn order(&self, user: &str, quantity: u64) -> Option<u16> {
        let answer = self.send(Method::POST, &format!("/users/{user}/orders"), json!({ "quantity": quantity })).await;
        answer.map(|(status, _)| status)
    }

    async fn balance(&self, user: &str) -> i64 {
        self.get(&format!("/users/{user}/balance")).await["balance"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn a_service_that_is_too_slow_trips_its_own_breaker_and_no_other() {
    let mut process = start(&[]);
    let shop = Shop::of(&mut process).await;
    shop.sign_up("ada", 1_000).await;
    shop.slow_down(10_000).await;
    // Five time-outs in a row open the breaker; then calls are refused at once.
    let answers = join_all((0..5).map(|_| shop.coupon("ada"))).await;
    assert_eq!(answers, [503; 5]);
    let health = shop.get("/health").await;
    assert_eq!((&health["coupon"]["breaker"], &health["coupon"]["trips"]), (&json!("open"), &json!(1)), "{health}");
    assert_eq!(shop.order("ada", 2).await, Some(201));
    assert_eq!(shop.balance("ada").await, 800);
    let health = shop.get("/health").await;
    for other in ["earn", "balance", "order"] {
        assert_eq!((&health[other]["breaker"], &health[other]["trips"]), (&json!("closed"), &json!(0)), "{health}");
    }
    shop.slow_down(0).await;
    poll_until(LONG, async || (shop.coupon("ada").await == 201).then_some(())).await.unwrap();
    assert_eq!(shop.get("/health").await["coupon"]["breaker"], "closed");
}

#[tokio::test]
async fn a_rush_gets_what_there_is_and_no_more() {
    let mut process = start(&[("COUPONS", "5"), ("PIECES", "7")]);
    let shop = Shop::of(&mut process).await;
    let users: Vec<_> = (0..40).map(|user| format!("user-{user}")).collect();
    join_all(users.iter().map(|user| shop.sign_up(user, 3 * PRICE))).await;
    let coupons = join_all(users.iter().map(|user| shop.coupon(user))).await;
    assert_eq!(coupons.iter().filter(|status| **status == 201).count(), 5, "{coupons:?}");
    assert!(coupons.iter().all(|status| [201, 409].contains(status)), "{coupons:?}");
    // Three by three: two orders of seven pieces.
    let orders = join_all(users.iter().map(|user| shop.order(user, 3))).await;
    assert_eq!(orders.iter().filter(|status| **status == Some(201)).count(), 2, "{orders:?}");
    assert!(orders.iter().all(|status| [Some(201), Some(409)].contains(status)), "{orders:?}");
    let totals = shop.get("/totals").await;
    assert_eq!(totals["coupons"], json!({ "total": 5, "reserved": 0, "issued": 5 }));
    assert_eq!(totals["pieces"], json!({ "total": 7, "reserved": 0, "sold": 6 }));
    assert_eq!(totals["points"]["used"], 6 * PRICE);
}

#[tokio::test]
async fn an_order_whose_payment_was_forgotten_is_not_paid_again() {
    let redis = RedisServer::start().await;
    // The job of the order would run after half an hour.
    let mut process = start(&[("REDIS_URL", &redis.url()), ("HOLD_SECONDS", "3600")]);
    let shop = Shop::of(&mut process).await;
    shop.sign_up("ada", 3 * PRICE).await;
    assert_eq!(shop.order("ada", 1).await, Some(201));
    // The next posting moves the payment to a field of its own.
    shop.sign_up("bob", PRICE).await;
    let payment = ["HDEL", "checkout:{lg:points}:state", "p:ada\n/users/ada/orders"];
    assert_eq!(redis.cli(&payment).await, "1");
    assert_eq!(shop.order("ada", 1).await, Some(201));
    assert_eq!(shop.balance("ada").await, 2 * PRICE);
    assert_eq!(shop.get("/totals").await["pieces"]["sold"], 1);
}

#[tokio::test]
async fn an_order_of_a_killed_process_is_sold_or_its_points_go_back() {
    let redis = RedisServer::start().await;
    let mut process = start(&[("REDIS_URL", &redis.url()), ("HOLD_SECONDS", "2")]);
    let mut shop = Shop::of(&mut process).await;
    for round in 0..scale(3, 20) {
        let users: Vec<_> = (0..USERS).map(|user| format!("user-{round}-{user}")).collect();
        for some in users.chunks(20) {
            join_all(some.iter().map(|user| shop.sign_up(user, PRICE))).await;
        }
        let before = shop.get("/totals").await["pieces"]["sold"].as_i64().unwrap();
        let mut acknowledged = 0;
        let mut orders: FuturesUnordered<_> = users.iter().map(|user| shop.order(user, 1)).collect();
        while let Some(status) = orders.next().await {
            acknowledged += i64::from(status == Some(201));
            if acknowledged == SOME {
                process.kill9().unwrap();
                break;
            }
        }
        drop(orders);
        process.restart().unwrap();
        shop = Shop::of(&mut process).await;
        println!("left behind: {}", shop.get("/totals").await);
        let settled = poll_until(LONG, async || {
            let totals = shop.get("/totals").await;
            let used = totals["pieces"]["sold"].as_i64().unwrap() * PRICE;
            (totals["pieces"]["reserved"] == 0 && totals["points"]["used"] == used).then_some(totals)
        });
        let sold = settled.await.unwrap()["pieces"]["sold"].as_i64().unwrap() - before;
        let mut balances = 0;
        for user in &users {
            balances += shop.balance(user).await;
        }
        println!("{acknowledged} orders were acknowledged, {sold} are sold, {balances} points are left");
        assert!(sold >= acknowledged);
        assert_eq!(balances, PRICE * (i64::try_from(USERS).unwrap() - sold));
    }
}
