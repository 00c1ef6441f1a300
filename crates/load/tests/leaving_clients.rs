//! Clients that leave before they are answered: the tables in memory survive, in their one
//! connection, and no transaction of PostgreSQL stays open.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use serde_json::json;
use tidegate_load::driver::{Driver, Mode};
use tidegate_load::{Api, scenario};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, ProcessBuilder, Random, binary};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

const CLIENTS: u64 = 16;
const VISITS: usize = 150;
/// Longest stay of a client, in turns of its thread: as long as a few answers take.
const STAY: usize = 60;

/// A client that sends a request and resets the connection at any moment, many times.
async fn leave(address: String, request: String, mut random: Random) {
    for _ in 0..VISITS {
        let _connection = send(&address, &request).await;
        for _ in 0..random.below(STAY) {
            yield_now().await;
        }
    }
}

/// Starts the process of an example. Returns it with its address, without the scheme.
async fn start(process: ProcessBuilder) -> (Process, Api, String) {
    let mut process = process.env("PORT", "0").start().unwrap();
    let api = Api::of(&mut process).await.unwrap();
    let line = process.log().find(|line| line.contains("listening on ")).unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    (process, api, address.to_owned())
}

/// The text of a request. `line` is its method and path.
fn text(line: &str, address: &str, key: &str, body: &str) -> String {
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: {key}");
    let head = format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    format!("{head}\r\n\r\n{body}")
}

/// Sends a request. The connection is reset when it is dropped.
async fn send(address: &str, request: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.set_zero_linger().unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// Each client sends `request`, which needs SQL. Then the scenario runs, and its sums agree.
async fn survives(name: &str, request: &str, body: &str) {
    let scenario = scenario::find(name).unwrap();
    let mut process = Process::builder(binary(&format!("examples/{name}")));
    for (variable, value) in scenario.env() {
        process = process.env(variable, value);
    }
    let (_process, api, address) = start(process).await;
    scenario.prepare(&api).await.unwrap();

    let request = text(request, &address, "k", body);
    let clients: JoinSet<()> =
        (0..CLIENTS).map(|seed| leave(address.clone(), request.clone(), Random::new(seed))).collect();
    clients.join_all().await;

    let driver = Driver::new(scenario.clone(), api.clone());
    let run = driver.run(Mode::AtOnce { users: 50 }, Duration::ZERO, |_, _| {}).await;
    assert!(run.figures.iter().all(|figures| figures.errors == 0), "{:?}", run.figures);
    let invariants = scenario.check(&api).await.unwrap();
    assert!(invariants.iter().all(|invariant| invariant.held), "{invariants:?}");
}

#[tokio::test]
async fn of_coupons() {
    survives("coupons", "GET /campaigns/none", "").await;
}

#[tokio::test]
async fn of_a_feed() {
    survives("feed", "GET /users/nobody/feed", "").await;
}

#[tokio::test]
async fn of_a_leaderboard() {
    survives("leaderboard", "POST /players/leaving/awards", r#"{"points":1}"#).await;
}

#[tokio::test]
async fn of_payments() {
    survives("payment", "GET /payments/none", "").await;
}

/// Clients pay, and leave at any moment until just after the answer. No transaction stays open: it
/// would lock its rows until the process ends.
#[tokio::test]
async fn of_payments_under_way() {
    /// Number of orders of each client.
    const ORDERS: u64 = 200;
    /// Microseconds; the payment provider takes 1 ms.
    const LONGEST_STAY: usize = 40_000;
    let redis = RedisServer::builder().start().await;
    let postgres = PostgresServer::start_tcp(&[]).await;
    let process = Process::builder(binary("examples/payment")).env("PROVIDER_MS", "1");
    let process = process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url());
    let (_process, api, address) = start(process).await;

    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let address = address.clone();
        clients.spawn(async move {
            let mut random = Random::new(client);
            for order in 0..ORDERS {
                let body =
                    json!({ "order": format!("{client}-{order}"), "user": format!("user-{client}"), "amount": 1 });
                let key = format!("{client}-{order}");
                let request = text("POST /payments", &address, &key, &body.to_string());
                let _connection = send(&address, &request).await;
                sleep(Duration::from_micros(random.below(LONGEST_STAY) as u64)).await;
            }
        });
    }
    clients.join_all().await;

    // Requests that go on end by themselves. A forgotten transaction stays.
    const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let end = Instant::now() + Duration::from_secs(5);
    let open = loop {
        let open = postgres.psql(OPEN).await.trim().to_owned();
        if open == "0" || Instant::now() > end {
            break open;
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(open, "0", "transactions that stay open");
    let totals = api.get("/totals").await.unwrap().expect(200).unwrap();
    let (paid, debited) = (totals.number("paid").unwrap(), totals.number("debited").unwrap());
    assert!(paid > 0 && paid == debited, "{totals:?}");
}
