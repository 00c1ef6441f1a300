//! What a client can hold on to, and for how long: heads, connections, a process that wants to end.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use tidegate_testkit::{Process, Scratch, binary, poll_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::harness::{Api, DEADLINE, listening_at, schedule, success_json};
use crate::numbers::exposition::{Exposition, labels};

const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.expect("a connection")
}

/// Sends a whole request and reads its answer; the connection stays open.
async fn ask(connection: &mut TcpStream) {
    connection.write_all(LIVEZ).await.expect("a request");
    assert!(read_to(connection, "alive\n").await.starts_with("HTTP/1.1 200"));
}

/// Reads until the text ends so.
async fn read_to(connection: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(connection.read_buf(&mut bytes).await.expect("it stays open"), 0, "it stays open");
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("an answer");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads in the background to the end of the connection, however it comes.
fn rest(mut connection: impl AsyncReadExt + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = connection.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

async fn ended(rest: JoinHandle<String>) -> String {
    tokio::time::timeout(DEADLINE, rest).await.expect("the server closes it").expect("no panic")
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let api =
        Api::start_with(&[("TIDEGATE_HTTP_SLOW_CLIENTS", "header=500ms"), ("TIDEGATE_HTTP_TIMEOUTS", "request=1h")]);
    let api = api.await;
    let silent = rest(connect(&api.url).await);
    let mut idle = connect(&api.url).await;
    ask(&mut idle).await;
    let idle = rest(idle);

    let (reader, mut writer) = connect(&api.url).await.into_split();
    let dribbling = rest(reader);
    writer.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.expect("the beginning of a head");
    let cut = poll_until(DEADLINE, async || {
        // An error is expected, and the reader reports it too.
        let _ = writer.write_all(b"a").await;
        dribbling.is_finished().then_some(())
    });
    cut.await.expect("a byte now and then keeps no connection");
    for (what, connection) in [("dribbling", dribbling), ("silent", silent), ("idle", idle)] {
        assert_eq!(ended(connection).await, "", "{what}");
    }
    ask(&mut connect(&api.url).await).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_ended() {
    let variables = [("TIDEGATE_HTTP_SLOW_CLIENTS", "write=500ms, header=1h")];
    let api = Api::start_with(&variables).await;
    let mut reading = connect(&api.url).await;
    let deaf = connect(&api.url).await;
    // It sends as long as the server reads, and reads nothing. In the end neither side reads.
    let ended = poll_until(DEADLINE, async || {
        loop {
            match deaf.try_write(&METRICS.repeat(100)) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(()),
            }
        }
    });
    ended.await.expect("it is given up");
    // Neither idling nor a reader's slowness is that.
    ask(&mut reading).await;
}

/// Begins to create a schedule: all but the last byte. The second is that byte.
async fn all_but_a_byte(url: &str) -> (TcpStream, [u8; 1]) {
    let mut connection = connect(url).await;
    let body = schedule("slow").to_string();
    let (last, most) = body.as_bytes().split_last().expect("a body");
    let length = body.len();
    let head = format!(
        "POST /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("a head");
    connection.write_all(most).await.expect("most of a body");
    (connection, [*last])
}

#[tokio::test]
async fn bodies_that_take_their_time_make_no_health() {
    const CLIENTS: u64 = 30;
    const LIMIT: Duration = Duration::from_secs(2);
    let api = Api::start_with(&[("TIDEGATE_PERFORMANCE_HEALTH", "p99=2s, slow_api=2s")]).await;
    api.create_tenant("acme", "enterprise").await;
    let mut slow = Vec::new();
    for _ in 0..CLIENTS {
        slow.push(all_but_a_byte(&api.url).await);
    }
    let health = async || {
        let answer = api.request(Method::GET, "/health").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.json::<serde_json::Value>().await.expect("JSON")
    };
    // Twice as long as a response may take, while health is looked at.
    let mut looks = 0;
    let begun = Instant::now();
    while begun.elapsed() < 2 * LIMIT {
        let health = health().await;
        assert_ne!(health["checks"]["p99"][0]["status"], "fail", "{health}");
        looks += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(looks > 10, "{looks}");
    let under_way = api.json("/api/performance?type=in-flight").await;
    let of_route = under_way["items"].as_array().expect("items").iter().find(|item| item["route"] == "/api/schedules");
    let of_route = of_route.expect("they are under way");
    assert_eq!(of_route["count"], CLIENTS, "{under_way}");
    assert!(of_route["oldest_ms"].as_f64() < Some(2_000.0), "{under_way}");
    for (mut connection, last) in slow {
        connection.write_all(&last).await.expect("the last byte");
        assert!(ended(rest(connection)).await.starts_with("HTTP/1.1 201"));
    }

    // All of them are among the samples, and none was slow.
    let judged = poll_until(DEADLINE, async || {
        let health = health().await;
        (health["checks"]["p99"][0]["samples"].as_u64() >= Some(CLIENTS)).then_some(health)
    });
    let health = judged.await.expect("they are judged");
    assert!(health["checks"]["p99"][0]["observedValue"].as_f64() < Some(2.0), "{health}");
    let text = api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("text");
    let metrics = Exposition::parse(&text);
    let of_route = &metrics.histograms("tidegate_http_request_duration_seconds")
        [&labels([("method", "POST"), ("route", "/api/schedules")])];
    let waits = &metrics.histograms("tidegate_http_body_wait_seconds")[&labels([])];
    let least = 30.0 * LIMIT.as_secs_f64();
    assert!(of_route.sum < least && waits.sum > least, "{} and {}", of_route.sum, waits.sum);
}

#[tokio::test]
async fn a_body_that_dribbles_is_not_waited_for() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=1h")]).await;
    api.create_tenant("acme", "enterprise").await;
    let mut clients = Vec::new();
    for (path, content_type) in [("/api/schedules", "application/json"), ("/api/schedules/import", "text/csv")] {
        let mut connection = connect(&api.url).await;
        connection.write_all(&post(path, content_type)).await.expect("a head");
        read_to(&mut connection, "100 Continue\r\n\r\n").await;
        let (reader, mut writer) = connection.into_split();
        let answer = rest(reader);
        // More than a byte now and then, so that no time-out between two pieces ends it.
        let dribbling = tokio::spawn(async move {
            while writer.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        clients.push((path, answer, dribbling));
    }
    for (path, answer, dribbling) in clients {
        let answer = ended(answer).await;
        dribbling.abort();
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too-slow"), "{path}: {answer}");
    }
}

/// Three connections and no more.
const THREE: [(&str, &str); 3] = [
    ("TIDEGATE_HTTP_CAPACITY", "connections=3"),
    ("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h"),
    ("TIDEGATE_HTTP_TIMEOUTS", "request=1h"),
];

#[tokio::test]
async fn idle_ones_make_room() {
    let api = Api::start_with(&THREE).await;
    let mut silent = connect(&api.url).await;
    let mut oldest = connect(&api.url).await;
    let mut newest = connect(&api.url).await;
    silent.write_all(b"GET /livez HTTP/1.1\r\nx-slow: ").await.expect("a beginning");
    for connection in [&mut oldest, &mut newest] {
        ask(connection).await;
    }
    // Each new connection is served, as a probe has to be, and replaces the one that was idle
    // longest.
    let mut next = connect(&api.url).await;
    ask(&mut next).await;
    assert_eq!(ended(rest(silent)).await, "");
    ask(&mut newest).await;
    ask(&mut connect(&api.url).await).await;
    assert_eq!(ended(rest(oldest)).await, "");
    ask(&mut newest).await;
}

#[tokio::test]
async fn where_all_are_busy_a_connection_waits_until_another_ends() {
    let api = Api::start_with(&THREE).await;
    api.create_tenant("acme", "enterprise").await;
    let mut busy = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&api.url).await;
        connection.write_all(&post("/api/schedules", "application/json")).await.expect("a head");
        read_to(&mut connection, "100 Continue\r\n\r\n").await;
        busy.push(connection);
    }
    let mut next = connect(&api.url).await;
    next.write_all(LIVEZ).await.expect("the system takes it");
    // Longer than several looks for room.
    let waited = tokio::time::timeout(Duration::from_millis(300), next.readable()).await;
    assert!(waited.is_err(), "it waits");
    drop(busy.pop());
    assert!(read_to(&mut next, "alive\n").await.starts_with("HTTP/1.1 200"));
    for connection in busy {
        let nothing = connection.try_read(&mut [0]).expect_err("it is served on");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
}

/// A connection from that address of this machine.
async fn connect_from(address: &str, url: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("it is this machine's");
    let to = url.trim_start_matches("http://").parse().expect("an address");
    socket.connect(to).await.expect("a connection")
}

/// A connection from that address whose request is under way: a route waits for its body.
async fn busy_from(address: &str, url: &str) -> TcpStream {
    let mut connection = connect_from(address, url).await;
    connection.write_all(&post("/api/schedules", "application/json")).await.expect("a head");
    read_to(&mut connection, "100 Continue\r\n\r\n").await;
    connection
}

#[tokio::test]
async fn one_address_takes_its_share_only() {
    const SHARE: usize = 5;
    let variables = [
        ("TIDEGATE_HTTP_CAPACITY", "per_address=5"),
        ("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h, min_rate=0B"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=1h"),
    ];
    let mut api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    let mut first = Vec::new();
    for _ in 0..SHARE {
        first.push(busy_from("127.0.0.2", &api.url).await);
    }
    for _ in 0..3 {
        assert_eq!(ended(rest(connect_from("127.0.0.2", &api.url).await)).await, "", "it has its share");
    }
    api.process.wait_for_line("127.0.0.2", DEADLINE).await.expect("the log says whom it turns away");
    ask(&mut connect_from("127.0.0.3", &api.url).await).await;
    for connection in &first {
        let nothing = connection.try_read(&mut [0]).expect_err("it is served on");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
    drop(first.pop());
    let again = poll_until(DEADLINE, async || {
        let mut connection = connect_from("127.0.0.2", &api.url).await;
        let _ = connection.write_all(LIVEZ).await;
        let mut byte = [0];
        matches!(connection.read(&mut byte).await, Ok(1)).then_some(())
    });
    again.await.expect("a place that is given back is given out again");
}

#[tokio::test]
async fn behind_one_address_idle_ones_make_room_for_one_another() {
    let variables = [("TIDEGATE_HTTP_CAPACITY", "per_address=5"), ("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h")];
    let api = Api::start_with(&variables).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect_from("127.0.0.2", &api.url).await);
        ask(&mut connect_from("127.0.0.2", &api.url).await).await;
    }
}

#[tokio::test]
async fn with_few_descriptors_silent_clients_block_no_other_client() {
    let scratch = Scratch::new();
    let mut process = Process::builder("/bin/sh")
        .args(["-c", "ulimit -n 128 && exec \"$0\""])
        .arg(binary("tidegate-api"))
        .current_dir(scratch.path())
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h")
        .start()
        .expect("the API starts");
    let url = listening_at(&mut process).await;
    process.wait_for_line("fit into the limit of 128 open files", DEADLINE).await.expect("it says so");
    let mut silent = Vec::new();
    for nth in 0..200 {
        silent.push(connect_from(if nth % 2 == 0 { "127.0.0.2" } else { "127.0.0.3" }, &url).await);
        if nth % 20 == 0 {
            ask(&mut connect(&url).await).await;
        }
    }
    ask(&mut connect(&url).await).await;
    assert_eq!(process.stop().await.expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn requests_that_never_end_are_cut_off_and_harm_nothing() {
    let mut api = Api::start_with(&[
        ("TIDEGATE_HTTP_DRAIN", "timeout=500ms"),
        ("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=1h"),
    ])
    .await;
    api.create_tenant("acme", "enterprise").await;
    let create = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("kept"));
    success_json(create).await;

    let mut head = connect(&api.url).await;
    head.write_all(b"GET /livez HTTP/1.1\r\nhost:").await.expect("half a head");
    // "Continue" proves that a route reads the body.
    let mut json = connect(&api.url).await;
    json.write_all(&post("/api/schedules", "application/json")).await.expect("a head");
    read_to(&mut json, "100 Continue\r\n\r\n").await;
    json.write_all(br#"{"title":"#).await.expect("half a body");
    let mut upload = connect(&api.url).await;
    upload.write_all(&post("/api/schedules/import", "text/csv")).await.expect("a head");
    read_to(&mut upload, "100 Continue\r\n\r\n").await;
    upload.write_all(b"title,starts_at,ends_at,recurrence,attendees\nhalf,").await.expect("half an upload");
    let connections = [head, json, upload].map(rest);

    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0));
    for connection in connections {
        assert_eq!(ended(connection).await, "");
    }
    assert!(api.process.log().find(|line| line.contains("3 connections were cut off")).is_some());
    // The last process to close a database writes its log back, so no process had it open.
    for leftover in ["tidegate.db-wal", "queue.db-wal"] {
        assert!(!api.scratch.join(leftover).exists(), "{leftover}");
    }
    api.restart().await;
    assert_eq!(api.titles("acme").await, ["kept"]);
    assert_eq!(std::fs::read_dir(api.scratch.join("spool")).expect("the spool").count(), 0);
    assert_eq!(api.json("/api/queue/import").await["ready"], 0);
}

/// The head of a request whose body of a thousand bytes is yet to come.
fn post(path: &str, content_type: &str) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: {content_type}\r\n");
    (head + "content-length: 1000\r\nexpect: 100-continue\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn connections_that_idle_do_not_hold_up_the_end() {
    let variables = [("TIDEGATE_HTTP_DRAIN", "timeout=1h"), ("TIDEGATE_HTTP_SLOW_CLIENTS", "header=1h")];
    let mut api = Api::start_with(&variables).await;
    let (fresh, mut used) = (connect(&api.url).await, connect(&api.url).await);
    ask(&mut used).await;
    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0));
    for connection in [fresh, used] {
        assert_eq!(ended(rest(connection)).await, "");
    }
}
