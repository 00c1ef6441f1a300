//! A cached `GET /api/schedules/{id}` of `tidegate-api` with all its layers, compared with a bare
//! axum handler that returns the same bytes.
//!
//! Three servers run at once, each a process of its own with a runtime of the same settings: the
//! bare one, the API with its access log sampled (the default), and the API with the full log. wrk
//! queries each in turn, with one thread and 64 connections, so that all have the same machine. The
//! API finds the tenant by its key, charges the address and the tenant's minute, hour and day,
//! checks whether another process has changed the database, and counts the request. Its database is
//! SQLite and it has no Redis. A ratio is of rates of one round: below 1 we are slower. The table
//! also shows the processor time of the server per request, which other work on the machine changes
//! little.
//!
//! It builds the API itself, as `cargo build --release -p tidegate-api` does, and needs `wrk`.

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::{Value, json};
use tidegate_benches::quartiles;
use tidegate_testkit::{Process, ProcessBuilder, Scratch, binary, http_client};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_secs(5);
/// Before the first round.
const WARM_UP: Duration = Duration::from_secs(2);
const CONNECTIONS: u32 = 64;
/// Body of the bare handler. Its process is this program, started again.
const BARE: &str = "TIDEGATE_BENCH_BARE";
const DEADLINE: Duration = Duration::from_secs(60);
/// More than any machine answers.
const UNREACHED: u64 = 1_000_000_000;

fn main() {
    if let Some(body) = env::var_os(BARE) {
        let body = body.into_string().expect("JSON is UTF-8");
        runtime().block_on(bare(body));
        return;
    }
    build();
    runtime().block_on(compare());
}

/// The same settings as the API.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

async fn bare(body: String) {
    let body = axum::body::Bytes::from(body);
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listens on http://{}", listener.local_addr().expect("an address"));
    axum::serve(listener, Router::new().route("/api/schedules/{id}", get(answer))).await.expect("it serves");
}

fn build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cargo").current_dir(root).args(["build", "--release", "-p", "tidegate-api"]).status();
    assert!(built.expect("cargo starts").success(), "the API is built");
}

/// A server and the request for it.
struct Side {
    name: &'static str,
    url: String,
    key: String,
    process: Process,
    _scratch: Scratch,
}

impl Side {
    async fn api(name: &'static str, access_log: &str) -> (Self, String) {
        let scratch = Scratch::new();
        let builder = Process::builder(binary("tidegate-api"))
            .env("TIDEGATE_DATA_DIR", scratch.path())
            .env("TIDEGATE_LISTEN", "127.0.0.1:0")
            .env("TIDEGATE_LIMIT_DDOS", format!("{UNREACHED}/second"))
            .env("TIDEGATE_HTTP_ACCESS_LOG", access_log);
        let (process, url) = start(builder.current_dir(scratch.path())).await;
        let client = http_client().build().expect("a client");
        let limits = json!({"per_minute": UNREACHED, "per_hour": UNREACHED, "per_day": UNREACHED});
        let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise", "limits": limits});
        let made = client.post(format!("{url}/api/tenants")).json(&tenant).send().await.expect("an answer");
        let made: Value = made.error_for_status().expect("a tenant").json().await.expect("JSON");
        let key = made["api_key"].as_str().expect("a key").to_owned();
        let schedule = json!({
            "title": "Weekly consultation, second floor",
            "starts_at": "2030-01-07T09:00:00Z",
            "ends_at": "2030-01-07T09:15:00Z",
        });
        let create = client.post(format!("{url}/api/schedules")).bearer_auth(&key).json(&schedule);
        let body = create.send().await.expect("an answer").error_for_status().expect("a schedule");
        let body = body.text().await.expect("a body");
        let made: Value = serde_json::from_str(&body).expect("JSON");
        let url = format!("{url}/api/schedules/{}", made["id"].as_str().expect("an id"));
        (Self { name, url, key, process, _scratch: scratch }, body)
    }

    async fn bare(body: &str) -> Self {
        let scratch = Scratch::new();
        let program = env::current_exe().expect("this program");
        let (process, url) = start(Process::builder(program).env(BARE, body)).await;
        let url = format!("{url}/api/schedules/1");
        Self { name: "bare axum handler", url, key: "none".to_owned(), process, _scratch: scratch }
    }

    /// # Panics
    /// If an answer is not a good one.
    fn measure(&self, turn: Duration) -> Measured {
        let before = self.processor_time();
        let output = Command::new("wrk")
            .args(["--threads", "1", "--latency", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{}s", turn.as_secs())])
            .args(["--header", &format!("authorization: Bearer {}", self.key), &self.url])
            .output()
            .expect("wrk, a package of most systems, is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        let is_good = output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors");
        assert!(is_good, "{}: {text}", self.name);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.expect("wrk says it").trim().to_owned()
        };
        let answered = text.lines().find_map(|line| line.trim().split_once(" requests in")).expect("wrk says it").0;
        let answered: f64 = answered.parse().expect("a number");
        Measured {
            rate: value("Requests/sec:").parse().expect("a number"),
            p99: milliseconds(&value("99%")),
            each: (self.processor_time() - before).as_secs_f64() / answered * 1e6,
        }
    }

    /// Returns the processor time of all threads of the server so far, to a hundredth of a second.
    fn processor_time(&self) -> Duration {
        let pid = self.process.pid().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux has the file");
        // After the name, which may contain anything: user and system time are the 12th and 13th.
        let (_, behind) = status.rsplit_once(')').expect("a name in brackets");
        let ticks = behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

/// One side's turn.
#[derive(Clone, Copy)]
struct Measured {
    /// Requests a second.
    rate: f64,
    /// The milliseconds in which 99 of 100 were answered.
    p99: f64,
    /// The server's processor time for each, in microseconds.
    each: f64,
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> f64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: f64 = digits.parse().expect("a number");
    match &text[digits.len()..] {
        "us" => number / 1e3,
        "ms" => number,
        "s" => number * 1e3,
        unit => unreachable!("wrk has no unit {unit}"),
    }
}

async fn start(builder: ProcessBuilder) -> (Process, String) {
    let mut process = builder.start().expect("it starts");
    let line = process.wait_for_line("listens on", DEADLINE).await.expect("it says where it listens");
    let url = line[line.find("http://").expect("an address")..].trim().to_owned();
    (process, url)
}

async fn compare() {
    let (sampled, body) = Side::api("tidegate-api", "0.01").await;
    let (full, _) = Side::api("tidegate-api, full access log", "full").await;
    let sides = [Side::bare(&body).await, sampled, full];
    println!("{} bytes, {CONNECTIONS} connections, {ROUNDS} rounds of {} s a side", body.len(), TURN.as_secs());
    for side in &sides {
        side.measure(WARM_UP);
    }
    let mut rounds: Vec<[Measured; 3]> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push([0, 1, 2].map(|nth| sides[nth].measure(TURN)));
    }
    println!("{:<32} {:>10} {:>8} {:>14} {:>18}", "", "requests/s", "P99", "CPU a request", "of the bare one");
    for (nth, side) in sides.iter().enumerate() {
        let [_, rate, _] = quartiles(rounds.iter().map(|round| round[nth].rate));
        let [_, p99, _] = quartiles(rounds.iter().map(|round| round[nth].p99));
        let [_, each, _] = quartiles(rounds.iter().map(|round| round[nth].each));
        let mut ratios: Vec<f64> = rounds.iter().map(|round| round[nth].rate / round[0].rate).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let [_, ratio, _] = quartiles(ratios);
        println!("{:<32} {rate:>10.0} {p99:>5.1} ms {each:>11.1} µs {ratio:>7.2} ({least:.2}-{most:.2})", side.name);
    }
}
