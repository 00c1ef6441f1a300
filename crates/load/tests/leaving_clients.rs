//! Clients that leave before they are answered: the tables in memory survive, in their one
//! connection.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use tidegate_load::driver::{Driver, Mode};
use tidegate_load::{Api, scenario};
use tidegate_testkit::{Process, Random, binary};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};

const CLIENTS: u64 = 16;
const VISITS: usize = 150;
/// Longest stay of a client, in turns of its thread: as long as a few answers take.
const STAY: usize = 60;

/// A client that sends a request and resets the connection at any moment, many times.
async fn leave(address: String, request: String, mut random: Random) {
    for _ in 0..VISITS {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.set_zero_linger().unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        for _ in 0..random.below(STAY) {
            yield_now().await;
        }
    }
}

/// Each client sends `request`, which needs SQL. Then the scenario runs, and its sums agree.
async fn survives(name: &str, request: &str, body: &str) {
    let scenario = scenario::find(name).unwrap();
    let mut process = Process::builder(binary(&format!("examples/{name}"))).env("PORT", "0");
    for (variable, value) in scenario.env() {
        process = process.env(variable, value);
    }
    let mut process = process.start().unwrap();
    let api = Api::of(&mut process).await.unwrap();
    let line = process.log().find(|line| line.contains("listening on ")).unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    scenario.prepare(&api).await.unwrap();

    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: k");
    let head = format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    let request = format!("{head}\r\n\r\n{body}");
    let clients: JoinSet<()> =
        (0..CLIENTS).map(|seed| leave(address.to_owned(), request.clone(), Random::new(seed))).collect();
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
