//! A process gets SIGTERM while clients send requests and a job runs in it. Every accepted request
//! is answered, and the job goes on in another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tidegate_testkit::{poll_until, scale};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Api, DEADLINE, csv, good_titles, schedule};

/// One request and its whole answer, as text; nothing or less than that where it is lost.
async fn ask(connection: &mut TcpStream, request: &[u8]) -> String {
    let mut answer = Vec::new();
    let exchange = async {
        connection.write_all(request).await?;
        while !is_whole(&answer) {
            if connection.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    let exchanged = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer or an end");
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(exchanged.is_ok() && is_whole(&answer), "a request was lost: {exchanged:?}, {text}");
    text
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    body.len() as u64 >= length.parse::<u64>().expect("a number")
}

/// Sends reads and writes in turn until an answer ends its connection and, if there is a `gone`,
/// until that is set. Returns whether there was such an answer.
async fn client(address: String, nth: usize, gone: Option<Arc<AtomicBool>>, answered: Arc<AtomicUsize>) -> bool {
    let body = schedule(&format!("of {nth}")).to_string();
    let create = format!(
        "POST /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let read = "GET /api/schedules?limit=1 HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\n\r\n".to_owned();
    let mut is_told = false;
    let mut connection = None;
    for request in [read, create].iter().cycle() {
        if is_told && gone.as_ref().is_some_and(|gone| gone.load(Ordering::SeqCst)) {
            break;
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => TcpStream::connect(&address).await.expect("the process still accepts connections"),
        };
        let answer = ask(&mut open, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answered.fetch_add(1, Ordering::SeqCst);
        if answer.contains("connection: close") {
            is_told = true;
            if gone.is_none() {
                break;
            }
        } else {
            connection = Some(open);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    is_told
}

/// Lines of the import that is under way.
const LINES: usize = 5_000;

/// Ends a process under load. With a delay, the clients are behind a balancer that polls `/readyz`.
async fn end_under_load(delay: Option<&str>) {
    let clients = scale(8, 64);
    let wide = "1000000/second";
    let drain = format!("delay={}", delay.unwrap_or("0s"));
    let mut api = Api::start_with(&[
        ("TIDEGATE_HTTP_DRAIN", drain.as_str()),
        ("TIDEGATE_LIMIT_DDOS", wide),
        ("TIDEGATE_LIMIT_API", wide),
        ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
        // Long enough to be cut off, with a lease too long to wait for: the job resumes only if it
        // was given back.
        ("TIDEGATE_IMPORT", "pause=1s"),
        ("TIDEGATE_QUEUE_GRACE", "100ms"),
        ("TIDEGATE_QUEUE_LEASE", "30m"),
    ])
    .await;
    for tenant in ["acme", "slow"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    let import = api.import_csv("slow", csv(LINES, &[])).await;
    api.job_when(&import, |job| job["state"] == "leased" && job["progress"].is_object()).await;
    let address = api.url.trim_start_matches("http://").to_owned();
    let gone = delay.map(|_| Arc::new(AtomicBool::new(false)));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for nth in 0..clients {
        load.spawn(client(address.clone(), nth, gone.clone(), Arc::clone(&answered)));
    }
    let balancer = async {
        let Some(gone) = &gone else { return };
        let unready = poll_until(DEADLINE, async || {
            let mut connection = TcpStream::connect(&address).await.expect("it is served on");
            let answer = ask(&mut connection, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            answer.contains(" 503 ").then_some(())
        });
        unready.await.expect("it says that it ends");
        gone.store(true, Ordering::SeqCst);
    };
    let all_ask = poll_until(DEADLINE, async || (answered.load(Ordering::SeqCst) > 10 * clients).then_some(()));
    all_ask.await.expect("they ask");
    let (ended, ()) = tokio::join!(api.process.stop(), balancer);
    assert_eq!(ended.expect("it ends").code(), Some(0));
    while let Some(is_told) = load.join_next().await {
        assert!(is_told.expect("nothing is lost"), "a client was not notified that its connection ends");
    }
    assert!(api.process.log().find(|line| line.contains("cut off")).is_none());

    api.restart().await;
    let job = api.job_in_state(&import, "done").await;
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(2), &json!(0)), "{job}");
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    assert_eq!(api.titles("slow").await, good_titles(LINES, &[]));
}

#[tokio::test]
async fn clients_that_keep_sending_are_answered_during_shutdown() {
    end_under_load(None).await;
}

#[tokio::test]
async fn behind_a_balancer_nothing_is_lost() {
    end_under_load(Some("2s")).await;
}
