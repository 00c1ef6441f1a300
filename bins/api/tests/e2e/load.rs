//! Cached reads, as many as a node answers.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::scale;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Api, DEADLINE, schedule, success_json};
use crate::unscraped::memory_stays;

const CONNECTIONS: usize = 64;
/// More than any machine answers.
const UNREACHED: u64 = 1_000_000_000;

/// Proof `http-rss`. An ordinary run takes a few seconds, in which a node still takes what it keeps
/// for its first minute: its bound is a wide one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_under_load_stays() {
    let ddos = format!("{UNREACHED}/second");
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", &ddos)]).await;
    let limits = json!({"per_minute": UNREACHED, "per_hour": UNREACHED, "per_day": UNREACHED});
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise", "limits": limits});
    let made = success_json(api.request(Method::POST, "/api/tenants").json(&tenant)).await;
    let key = made["api_key"].as_str().expect("a key").to_owned();
    let create = api.request(Method::POST, "/api/schedules").bearer_auth(&key).json(&schedule("read often"));
    let made = success_json(create).await;
    let id = made["id"].as_str().expect("an id");
    let request = format!("GET /api/schedules/{id} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n");

    let to: SocketAddr = api.url.trim_start_matches("http://").parse().expect("an address");
    let (warm, whole) = (Duration::from_secs(scale(1, 60) as u64), Duration::from_secs(scale(3, 660) as u64));
    let most = scale(200, 105) as u64;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(press(to, request.clone(), begun + whole));
    }
    let answered = memory_stays(&api, clients, (begun, warm), most).await;
    assert!(answered >= CONNECTIONS as u64, "{answered}");
}

/// Reads the schedule over one connection until then; how often it was answered.
async fn press(to: SocketAddr, request: String, until: Instant) -> u64 {
    let mut connection = TcpStream::connect(to).await.expect("it is let in");
    let (mut answer, mut answered) = (Vec::new(), 0);
    while Instant::now() < until {
        connection.write_all(request.as_bytes()).await.expect("a request");
        answer.clear();
        let reading = async {
            // A schedule's end is the only brace that can be last.
            while !answer.ends_with(b"}") {
                assert_ne!(connection.read_buf(&mut answer).await.expect("an answer"), 0, "the connection lives");
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        answered += 1;
    }
    answered
}
