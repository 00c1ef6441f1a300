//! From an outage to its receiver: real processes, a real Redis that is killed, a real receiver.

mod fleet;
pub(crate) mod listener;
mod outage;
pub(crate) mod receiver;
mod receivers;
mod rules;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{poll_until, scale};
use tokio::time::Instant;

use self::listener::Listener;
use self::outage::Outage;
use self::receiver::{KEY, Receiver};
use crate::harness::{Api, DEADLINE, client, problem, success_json};
use crate::numbers::exposition::{Exposition, labels};
use crate::start::{ADMIN, TOKENS};

/// The guaranteed time from the first failure to the verdict.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// The same in seconds of the ticker, and one more, because figures may be a second old.
const BEATS: f64 = 3.0;

/// The value of a metric, by its name and labels as they are written.
async fn metric(api: &Api, name: &str) -> f64 {
    let text = api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("text");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    assert!(found.is_some(), "no {name} in {text}");
    found.unwrap_or_default()
}

/// Waits until an alert of the rule fires, as the service itself shows it.
async fn until_it_fires(api: &Api, rule: &str) -> Value {
    let mut last = Value::Null;
    let fires = poll_until(DEADLINE, async || {
        last = api.json("/api/performance?type=alerts&limit=100").await;
        let items = last["items"].as_array().expect("items");
        items.iter().find(|item| item["rule"] == rule && item["phase"] == "firing").cloned()
    });
    let fires = fires.await;
    assert!(fires.is_ok(), "{rule} does not fire: {last}");
    fires.unwrap_or_default()
}

#[tokio::test]
async fn a_stream_of_jobs_says_when_no_queue_records_events() {
    let api = Api::start().await;
    let first = async || {
        let mut answer = api.request(Method::GET, "/api/events?topics=jobs,health").send().await.expect("an answer");
        let piece = answer.chunk().await.expect("it goes on").expect("a piece");
        String::from_utf8(piece.to_vec()).expect("text")
    };
    let silent = first().await;
    assert!(silent.starts_with(": no queue records events"), "{silent}");
    let settings = json!({"events": true});
    success_json(api.request(Method::PUT, "/api/queue/import/settings").json(&settings)).await;
    let recording = first().await;
    assert!(recording.starts_with("retry: 2000\n\n"), "{recording}");
}

#[tokio::test]
async fn an_outage_of_a_handler_raises_an_alert_that_reaches_log_stream_and_webhook() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/hook/hunter2");
    let mut outage = Outage::prepare(&[
        ("TIDEGATE_ALERTS_WEBHOOK", &url),
        ("TIDEGATE_ALERTS_WEBHOOK_SECRET", KEY),
        ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on"),
    ])
    .await;
    let mut listener = Listener::open(&outage.api, "/api/events?topics=alerts", None).await;
    outage.begin();

    // The first attempt is refused, the second hangs, the third succeeds. All that waited behind it
    // come too.
    let is_it = |body: &Value| body["alert"]["rule"] == "error_rate" && body["alert"]["phase"] == "firing";
    let taken = poll_until(DEADLINE, async || receiver.taken().into_iter().find(|delivery| is_it(&delivery.body)));
    let taken = taken.await.expect("the alert arrives");
    taken.assert_signed();
    assert_eq!(taken.body["notify"], true);
    let tries = receiver.tries();
    assert!(tries.len() >= 3 && tries[..3].iter().all(|id| *id == tries[0]), "one event, tried three times: {tries:?}");

    let event = listener.until(|event| event.name == "alert" && is_it(&event.data)).await;
    assert_eq!(taken.body["source"]["service"], "tidegate-api");
    for field in ["id", "rule", "subject", "severity", "phase", "threshold", "pending_at_unix_ms", "fired_at_unix_ms"] {
        assert_eq!(event.data["alert"][field], taken.body["alert"][field], "{field}: log, stream and webhook agree");
    }
    let api = &mut outage.api;
    api.process.wait_for_line("rule=\"error_rate\"", DEADLINE).await.expect("a line of the log");
    api.process.wait_for_line("an alert did not reach its receiver", DEADLINE).await.expect("a line of the log");
    assert_eq!(api.process.log().find(|line| line.contains("hunter2") || line.contains(KEY)), None);

    assert!(metric(api, "tidegate_alert_deliveries_total{way=\"webhook\",outcome=\"failed\"}").await >= 2.0);
    assert!(metric(api, "tidegate_alert_deliveries_total{way=\"webhook\",outcome=\"delivered\"}").await >= 1.0);
    assert!(metric(api, "tidegate_alerts_firing{rule=\"error_rate\",severity=\"critical\"}").await >= 1.0);
    let shown = api.json("/api/performance?type=alerts").await.to_string();
    assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
    let page = api.request(Method::GET, "/dashboard").send().await.expect("an answer").text().await.expect("a page");
    assert!(
        page.contains("action=\"/dashboard/silence\"") && page.contains("name=\"rule\" value=\"error_rate\""),
        "{page}"
    );
}

#[tokio::test]
async fn an_alert_resumes_by_last_event_id() {
    let mut outage = Outage::prepare(&[]).await;
    let mut live = Listener::open(&outage.api, "/api/events", None).await;
    assert_eq!(live.next().await.name, "health", "how it is at the beginning");
    outage.begin();
    let first = live.until(|event| event.name == "alert").await;
    let second = live.until(|event| event.name == "alert").await;
    drop(live);

    let mut again = Listener::open(&outage.api, "/api/events?topics=alerts", first.id.as_deref()).await;
    let resumed = again.next().await;
    assert_eq!((&resumed.id, &resumed.data), (&second.id, &second.data));
    let mut stranger = Listener::open(&outage.api, "/api/events?topics=alerts", Some("17-1")).await;
    let told = stranger.next().await;
    assert_eq!((told.name.as_str(), &told.data["read"]), ("gap", &json!("/api/performance?type=alerts")));

    let unknown = outage.api.request(Method::GET, "/api/events?topics=gossip").send().await.unwrap();
    let body = problem(unknown, 422, "bad-topic").await;
    assert!(body["detail"].as_str().unwrap().contains("`alerts`, `health`"), "{body}");
}

#[tokio::test]
async fn a_silenced_alert_is_not_sent() {
    let receiver = Receiver::good().await;
    let url = receiver.url("/");
    let mut outage =
        Outage::prepare(&[("TIDEGATE_ALERTS_WEBHOOK", &url), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")]).await;
    let silences = |body: Value| outage.api.request(Method::POST, "/api/performance/silences").json(&body);
    for wrong in [
        json!({"rule": "gossip", "minutes": 5, "reason": "a test"}),
        json!({"rule": "p99", "minutes": 0, "reason": "a test"}),
        json!({"rule": "p99", "minutes": 50_000, "reason": "a test"}),
        json!({"rule": "p99", "minutes": 5, "reason": " "}),
        json!({"rule": "p99", "minutes": 5, "reason": "x".repeat(300)}),
    ] {
        problem(silences(wrong).send().await.unwrap(), 422, "bad-silence").await;
    }
    let told = success_json(silences(json!({
        "rule": "redis_unavailable", "minutes": 5, "reason": "ada@example.org moves it, password=hunter2",
    })));
    assert!(!told.await.to_string().contains("hunter2"), "the reason is masked");

    let mut listener = Listener::open(&outage.api, "/api/events?topics=alerts", None).await;
    outage.begin();
    let silenced = until_it_fires(&outage.api, "redis_unavailable").await;
    assert_eq!(silenced["silenced"], true);
    // The other alert of the outage goes every way: what is silenced would have come with it.
    let is = |data: &Value, rule: &str| data["alert"]["rule"] == rule;
    listener.until(|event| is(&event.data, "error_rate")).await;
    let taken =
        poll_until(DEADLINE, async || receiver.taken().into_iter().find(|delivery| is(&delivery.body, "error_rate")));
    taken.await.expect("the webhook has it");
    outage.api.process.wait_for_line("rule=\"error_rate\"", DEADLINE).await.expect("the log has it");
    let log = outage.api.process.log();
    assert_eq!(log.find(|line| line.contains("alert: firing") && line.contains("redis_unavailable")), None);
    assert!(listener.seen().iter().all(|event| !is(&event.data, "redis_unavailable")));
    assert!(receiver.taken().iter().all(|delivery| !is(&delivery.body, "redis_unavailable")));

    // The alert is sent when the silence ends, because it still fires.
    let lift = outage.api.request(Method::DELETE, "/api/performance/silences?rule=redis_unavailable");
    success_json(lift).await;
    listener.until(|event| is(&event.data, "redis_unavailable")).await;
    let lift = outage.api.request(Method::DELETE, "/api/performance/silences?rule=redis_unavailable");
    problem(lift.send().await.unwrap(), 404, "not-found").await;
}

#[tokio::test]
async fn a_webhook_to_a_private_address_is_refused() {
    let receiver = Receiver::good().await;
    let url = receiver.url("/hook/hunter2").replace("127.0.0.1", "localhost");
    let mut outage = Outage::prepare(&[("TIDEGATE_ALERTS_WEBHOOK", &url)]).await;
    outage.begin();
    until_it_fires(&outage.api, "redis_unavailable").await;
    let given_up = "tidegate_alert_deliveries_total{way=\"webhook\",outcome=\"given_up\"}";
    let refused = poll_until(DEADLINE, async || (metric(&outage.api, given_up).await >= 1.0).then_some(()));
    refused.await.expect("it is given up");
    outage.api.process.wait_for_line("the address is private", DEADLINE).await.expect("the log says why");
    assert!(receiver.tries().is_empty());
    assert_eq!(outage.api.process.log().find(|line| line.contains("hunter2")), None);
}

/// Enough unauthenticated requests would hide an outage if a refusal or the login page counted as a
/// good answer.
#[tokio::test]
async fn responses_to_unauthenticated_clients_do_not_affect_health() {
    let api = Api::start_with(&TOKENS).await;
    let paths = [
        "/",
        "/assets/style.css",
        "/dashboard",
        "/dashboard/login",
        "/dashboard/live",
        "/dashboard/limits/quota",
        "/dashboard/performance/export",
        "/dashboard/queues/import",
        "/api/schedules",
        "/api/schedules/1",
        "/api/tenants",
        "/api/tenants/acme",
        "/api/tenants/%FF",
        "/api/queue",
        "/api/rate-limit/check",
        "/api/performance",
        "/api/nothing",
        "/livez",
    ];
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];
    for path in paths {
        for method in methods {
            let request =
                api.request(method.parse().expect("a method"), path).header("authorization", "Bearer tk_wrong");
            let status = request.send().await.expect("an answer").status();
            assert!(status.as_u16() < 500, "{method} {path}: {status}");
        }
    }
    // Also everything in the document, so that an addition to it is not missed here.
    let document = api.json("/openapi.json").await;
    for path in document["paths"].as_object().expect("paths").keys() {
        let path = path.replace(['{', '}'], "");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            for path in [&path, &format!("{path}?x=%FF")] {
                let answer = api.request(method.clone(), path).send().await.expect("an answer");
                assert!(answer.status().as_u16() < 500, "{method} {path}: {}", answer.status());
            }
        }
    }
    let told = async |of: &str| {
        let request = api.request(Method::GET, &format!("/api/performance?type={of}&limit=100")).bearer_auth(ADMIN);
        success_json(request).await
    };
    let mut own = 0;
    let refused = poll_until(DEADLINE, async || {
        own += 1;
        let told = told("overall").await;
        (told["overall"]["refused"].as_u64() >= Some(30)).then_some(told)
    });
    let overall = refused.await.expect("they are sent");
    let asked = overall["overall"]["count"].as_u64().expect("a count");
    assert!(asked <= own, "only what was asked here itself, {own} times: {overall}");
    let endpoints = told("endpoints").await;
    assert_eq!(endpoints["dropped"], 0);
    for endpoint in endpoints["items"].as_array().expect("a list") {
        let is_served = ["GET", "HEAD", "POST", "PUT", "DELETE"].iter().any(|served| endpoint["method"] == *served);
        assert!(
            is_served || endpoint["route"] == "__unmatched__",
            "an unauthenticated client made a series: {endpoint}"
        );
    }
}

/// Behind good traffic at a steady rate, one of two handlers fails from one request to the next.
#[tokio::test]
async fn a_breach_is_seen_within_two_seconds() {
    let mut outage = Outage::prepare(&[]).await;
    let samples = async |api: &Api| api.json("/health").await["checks"]["error_rate"][0]["samples"].as_u64();
    let steady = poll_until(DEADLINE, async || (samples(&outage.api).await >= Some(1_000)).then_some(()));
    steady.await.expect("traffic");
    outage.begin();
    let begun = outage.first_failure().await;
    let beats = async || {
        let text = outage.api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await;
        let metrics = Exposition::parse(&text.expect("text"));
        metrics.histograms("tidegate_perfmon_tick_seconds")[&labels([])].count
    };
    let first = beats().await;
    let client = client();
    let seen = poll_until(DEADLINE, async || {
        let passed = beats().await - first;
        let answer = client.get(format!("{}/health", outage.api.url)).send().await.ok()?;
        let health: Value = answer.json().await.ok()?;
        let is_seen = health["checks"]["error_rate"][0]["status"] != "pass";
        assert!(is_seen || passed <= BEATS, "not seen after {passed} seconds of the pulse: {health}");
        is_seen.then_some(health)
    });
    let health = seen.await.expect("it is seen");
    let took = Instant::now().duration_since(begun);
    println!("seen {took:?} after the first failure: {}", health["output"]);
    assert_ne!(health["health"], "healthy", "{health}");
    if scale(0, 1) == 1 {
        // On a machine that does nothing else. Elsewhere the pulse itself may be late.
        assert!(took < SEEN_WITHIN, "{took:?}: {health}");
    }
    assert_eq!(outage.good_failures(), 0, "the other handler is served on");
}

#[tokio::test]
async fn the_stream_ends_when_the_server_does() {
    let mut api = Api::start().await;
    let mut listener = Listener::open(&api, "/api/events", None).await;
    assert_eq!(listener.next().await.name, "health");
    let (status, ()) = tokio::join!(api.process.stop(), listener.end());
    assert_eq!(status.unwrap().code(), Some(0));
    // Who waited for a stream would cut it off in the end, and say so.
    assert_eq!(api.process.log().find(|line| line.contains("were cut off")), None);
}

/// A browser with many tabs must leave room for others. That response is not a failure of the
/// server.
#[tokio::test]
async fn one_client_follows_eight_times_at_most() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(Listener::open(&api, "/api/events", None).await);
    }
    let refused = api.request(Method::GET, "/api/events").send().await.expect("an answer");
    assert_eq!(refused.headers()["retry-after"], "5");
    let told = problem(refused, 429, "too-many-followers").await;
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("8 event streams of this client")), "{told}");
    all.pop();
    let again = poll_until(DEADLINE, async || {
        let answer = api.request(Method::GET, "/api/events").send().await.ok()?;
        (answer.status() == 200).then_some(())
    });
    again.await.expect("a place that is given back is free");
}
