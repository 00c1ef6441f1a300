//! Three processes that call one service: it answers, exceeds its quota, fails, is slow, and comes
//! back. Each step is one that a test can wait for.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::{Api, ExampleOptions, ExampleProcesses, scenario};
use tidegate_testkit::{Process, binary, poll_until};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(30);
const CALLERS: usize = 100;
const PROCESSES: usize = 3;
/// Age from which the scenario's processes take a rate for stale.
const TTL: Duration = Duration::from_secs(1);
/// A caller without a rate gives up after 2 s. The service answers after 30 s when it is slow.
const NOT_HELD_UP: Duration = Duration::from_secs(4);

async fn start() -> ExampleProcesses {
    let scenario = scenario::find("exchange_rate").unwrap();
    ExampleProcesses::start(&*scenario, ExampleOptions { processes: PROCESSES, embedded: false, fsync_always: true })
        .await
        .unwrap()
}

async fn set_mode(api: &Api, mode: &str) {
    let body = json!({ "mode": mode });
    api.upstream().send(Method::PUT, "/upstream/mode", None, Some(&body)).await.unwrap().expect(200).unwrap();
}

/// Calls that the service counted.
async fn calls(api: &Api) -> Vec<Value> {
    let calls = api.upstream().get("/upstream/calls").await.unwrap();
    calls.body["calls"].as_array().unwrap().clone()
}

/// The status and the body of one request.
async fn rate(api: &Api, pair: &str) -> (u16, Value) {
    let answer = api.get(&format!("/rates/{pair}")).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

/// Waits until the breakers of all processes are in this state, while the pair is requested.
async fn breakers_are(api: &Api, state: &str, pair: &str) {
    poll_until(LONG, || async {
        let mut breakers = BTreeMap::new();
        for _ in 0..PROCESSES {
            rate(api, pair).await;
            let answer = api.get("/breaker").await.unwrap();
            breakers.insert(answer.number("process").unwrap(), answer.body["breaker"].clone());
        }
        (breakers.len() == PROCESSES && breakers.values().all(|breaker| breaker == state)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_crowd_in_three_processes_makes_one_call() {
    let example = start().await;
    let api = example.api();
    let started = Instant::now();
    let answers = join_all((0..CALLERS).map(|_| rate(api, "EUR/USD"))).await;
    let mut rates = BTreeSet::new();
    for (status, answer) in &answers {
        assert_eq!((*status, &answer["is_stale"]), (200, &json!(false)), "{answer}");
        rates.insert((answer["rate_millionths"].to_string(), answer["fetched_at_ms"].to_string()));
    }
    let calls = calls(api).await;
    // On a machine that takes this long, the rate may have been reloaded.
    assert!(calls.len() == 1 || started.elapsed() > TTL / 2, "{calls:?}");
    assert!(rates.len() <= calls.len(), "a caller has a rate of no call: {rates:?}");
}

#[tokio::test]
async fn while_the_service_fails_the_last_known_rate_is_marked_and_the_breaker_opens() {
    let example = start().await;
    let api = example.api();
    let (_, first) = rate(api, "EUR/USD").await;
    set_mode(api, "down").await;
    let stale = async || {
        let (status, answer) = rate(api, "EUR/USD").await;
        assert_eq!(status, 200, "{answer}");
        (answer["is_stale"] == true).then_some(answer)
    };
    let answer = poll_until(LONG, stale).await.unwrap();
    assert!(answer["age_ms"].as_u64().unwrap() >= 1_000, "{answer}");
    let (_, unknown) = rate(api, "GBP/USD").await;
    assert!(unknown["error"].as_str().unwrap().starts_with("no rate is known: "), "{unknown}");

    // An open breaker lets one call through each second, and that fails.
    for code in ["AUD", "BRL", "CAD", "CHF", "CNY"] {
        let pair = format!("{code}/USD");
        join_all((0..PROCESSES).map(|_| rate(api, &pair))).await;
    }
    breakers_are(api, "open", "SEK/USD").await;
    let (before, started) = (calls(api).await.len(), Instant::now());
    for _ in 0..CALLERS {
        assert_eq!(rate(api, "SEK/USD").await.0, 503);
    }
    let probes = usize::try_from(started.elapsed().as_secs()).unwrap() * PROCESSES + PROCESSES;
    let made = calls(api).await.len() - before;
    assert!(made <= probes, "{made} calls for {CALLERS} callers behind open breakers");

    set_mode(api, "up").await;
    breakers_are(api, "closed", "EUR/USD").await;
    let fresh = async || (rate(api, "EUR/USD").await.1["is_stale"] == false).then_some(());
    poll_until(LONG, fresh).await.unwrap();
    let (_, last) = rate(api, "EUR/USD").await;
    assert!(last["fetched_at_ms"].as_u64() > first["fetched_at_ms"].as_u64(), "{last} after {first}");
}

#[tokio::test]
async fn a_slow_service_holds_no_caller_up() {
    let example = start().await;
    let api = example.api();
    rate(api, "EUR/USD").await;
    set_mode(api, "slow").await;
    let started = Instant::now();
    let (status, answer) = rate(api, "GBP/USD").await;
    assert_eq!(status, 503, "{answer}");
    assert!(started.elapsed() < NOT_HELD_UP, "{:?} for a rate that is not known", started.elapsed());
    // By now the other rate is stale.
    let started = Instant::now();
    for (status, answer) in join_all((0..CALLERS).map(|_| rate(api, "EUR/USD"))).await {
        assert_eq!((status, &answer["is_stale"]), (200, &json!(true)), "{answer}");
    }
    assert!(started.elapsed() < NOT_HELD_UP, "{:?} for a rate that is known", started.elapsed());
}

#[tokio::test]
async fn a_failed_call_is_repeated() {
    let example = start().await;
    let api = example.api();
    set_mode(api, "flaky").await;
    let (status, answer) = rate(api, "EUR/USD").await;
    assert_eq!(status, 200, "{answer}");
    let calls = calls(api).await;
    assert!(calls[0]["rate_millionths"].is_null() && calls[1]["rate_millionths"].is_u64(), "{calls:?}");
}

#[tokio::test]
async fn processes_together_keep_the_quota_of_the_service() {
    let example = start().await;
    let api = example.api();
    let codes = ["EUR", "USD", "GBP", "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "HKD", "HUF", "INR"];
    let pairs = codes.iter().flat_map(|from| codes.iter().map(move |to| format!("{from}/{to}")));
    let pairs: Vec<_> = pairs.filter(|pair| pair[..3] != pair[4..]).collect();
    let answers = join_all(pairs.iter().map(|pair| rate(api, pair))).await;
    let refused = answers.iter().filter(|(status, _)| *status == 503).count();
    assert!(refused > 0, "{} pairs were all loaded", pairs.len());
    for (status, answer) in &answers {
        let reason = answer["error"].as_str().unwrap_or_default();
        assert!(*status == 200 || reason.contains("the quota of the service is used up for another"), "{answer}");
    }
    let at_ms: Vec<u64> = calls(api).await.iter().map(|call| call["at_ms"].as_u64().unwrap()).collect();
    let busiest = at_ms.iter().map(|at| at_ms.iter().filter(|other| (*at..at + 1_000).contains(*other)).count());
    let busiest = busiest.max().unwrap();
    assert!(busiest <= 50, "{busiest} calls in one second");
}

/// A service that has these answers, one for each call. Returns its address.
fn answering(answers: [(&'static str, &'static str); 3]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (status, body) in answers {
            let (mut call, _) = listener.accept().unwrap();
            assert!(call.read(&mut [0; 4_096]).unwrap() > 0);
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close", body.len());
            call.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_rate_of_zero_and_an_answer_of_429_are_no_rates_and_the_call_is_repeated() {
    let zero = ("200 OK", r#"{"rate_millionths":0}"#);
    let address = answering([zero, ("429 Too Many Requests", ""), ("200 OK", r#"{"rate_millionths":1160000}"#)]);
    let process = Process::builder(binary("examples/exchange_rate")).env("PORT", "0").env("UPSTREAM_URL", address);
    let mut process = process.start().unwrap();
    let api = Api::of(&mut process).await.unwrap();
    let (status, answer) = rate(&api, "EUR/USD").await;
    assert_eq!((status, &answer["rate_millionths"]), (200, &json!(1_160_000)), "{answer}");
}
