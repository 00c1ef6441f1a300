//! A node under load whose figures are never requested.
#![cfg(target_os = "linux")]

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::{Random, scale};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Api, client, schedule, success_json};

/// Clients that send one request after the other.
const CLIENTS: u64 = 4;
/// Schedules that are read in turn.
const SCHEDULES: usize = 50;

/// Proof `perfmon-unscraped-node`: ten minutes without one `/metrics` or `/api/performance`.
/// Requests are read, refused, or not found under a path that never repeats. They carry ids and
/// traces of their own, as a scanner's do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_an_unscraped_node_stays() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", "1000000/second")]).await;
    let limits = json!({"per_minute": 100_000_000, "per_hour": 100_000_000, "per_day": 100_000_000});
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise", "limits": limits});
    success_json(api.request(Method::POST, "/api/tenants").json(&tenant)).await;
    let mut paths = Vec::new();
    for number in 0..SCHEDULES {
        let create = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let made = success_json(create.json(&schedule(&format!("number {number}")))).await;
        paths.push(format!("/api/schedules/{}", made["id"].as_str().expect("an id")));
    }

    let (warm, whole) = (Duration::from_secs(scale(10, 60) as u64), Duration::from_secs(scale(20, 660) as u64));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(press(api.url.clone(), paths.clone(), number, begun + whole));
    }
    memory_stays(&api, clients, (begun, warm), 105).await;
}

/// Returns how many requests were answered when the clients have ended. The process must then use
/// at most that many hundredths of the memory that it used when it was warm.
#[expect(clippy::print_stdout, reason = "the figures are what a proof is run for")]
pub(crate) async fn memory_stays(
    api: &Api,
    mut clients: JoinSet<u64>,
    (begun, warm): (Instant, Duration),
    most: u64,
) -> u64 {
    tokio::time::sleep_until(begun + warm).await;
    let pid = api.process.pid().expect("it runs");
    let after_warm_up = resident_kib(pid);
    let mut answered = 0;
    while let Some(count) = clients.join_next().await {
        answered += count.expect("it ends well");
    }
    let (finally, whole) = (resident_kib(pid), begun.elapsed());
    println!("{answered} answers: {after_warm_up} KiB resident after {warm:?}, {finally} KiB after {whole:?}");
    assert!(finally * 100 <= after_warm_up * most, "{after_warm_up} KiB after {warm:?}, {finally} KiB after {whole:?}");
    answered
}

/// Sends requests until then; how many were answered as they had to be.
async fn press(url: String, paths: Vec<String>, seed: u64, until: Instant) -> u64 {
    let (client, mut random, mut answered) = (client(), Random::new(seed), 0);
    while Instant::now() < until {
        let path = &paths[random.below(paths.len())];
        let (strange, trace) = (random.next(), u128::from(random.next()) << 64 | u128::from(random.next()));
        let (request, expected): (_, &[u16]) = match random.below(8) {
            0 => (client.get(format!("{url}/{strange:x}.php?{strange:x}")), &[404]),
            1 => (client.get(format!("{url}/api/schedules/{strange:x}")).header("x-tenant-id", "acme"), &[404]),
            // Without credentials, and soon beyond the limit for such requests.
            2 => (client.get(format!("{url}{path}")), &[401, 429]),
            3 => (client.get(format!("{url}/api/schedules?limit=20")).header("x-tenant-id", "acme"), &[200]),
            _ => (client.get(format!("{url}{path}")).header("x-tenant-id", "acme"), &[200]),
        };
        let request = request
            .header("x-request-id", format!("{strange:x}"))
            .header("traceparent", format!("00-{trace:032x}-{:016x}-01", strange | 1));
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a body");
        assert!(expected.contains(&status), "{status}: {body}");
        answered += 1;
    }
    answered
}

/// Returns the resident memory of the process.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().strip_suffix(" kB").expect("in kB").parse().expect("a number")
}
