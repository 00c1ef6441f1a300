//! More requests at once than there are places.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use tidegate_testkit::poll_until;
use tokio::time::Instant;

use crate::harness::{Api, DEADLINE, schedule};
use crate::numbers::exposition::{Exposition, labels};
use crate::stuck::Stuck;

const PLACES: u32 = 4;
const BURST: u32 = 60;
/// Far less than an admitted request waits for the store.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn shed(api: &Api) -> f64 {
    let answer = api.request(Method::GET, "/metrics").send().await.expect("the scrape is answered");
    assert_eq!(answer.status(), 200);
    let metrics = Exposition::parse(&answer.text().await.expect("text"));
    metrics.all("tidegate_http_shed_total")[&labels([])]
}

#[tokio::test]
async fn a_burst_is_partly_served_and_the_rest_refused_at_once() {
    let variables = [
        ("TIDEGATE_HTTP_CAPACITY", "in_flight=4"),
        ("TIDEGATE_LIMIT_DDOS", "1000000/second"),
        ("TIDEGATE_LIMIT_API", "1000000/second"),
        ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=1h"),
    ];
    let api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    // Streams, as many as there are places, take none.
    let mut streams = Vec::new();
    for _ in 0..PLACES {
        let stream = api.request(Method::GET, "/api/events").send().await.expect("a stream");
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let stuck = Stuck::beside(&api).await;
    let begun = Instant::now();
    let create = async |nth: u32| {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let answer = request.json(&schedule(&format!("of {nth}"))).send().await.expect("an answer");
        let (status, elapsed) = (answer.status().as_u16(), begun.elapsed());
        let again = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        let body: Value = answer.json().await.expect("JSON");
        (status, elapsed, again, body)
    };
    let burst = async { join_all((0..BURST).map(create)).await };
    let meanwhile = async {
        let all = poll_until(DEADLINE, async || (shed(&api).await >= f64::from(BURST - PLACES)).then_some(()));
        all.await.expect("the others are turned away while those few wait");
        for path in ["/livez", "/readyz", "/metrics"] {
            let begun = Instant::now();
            let answer = api.request(Method::GET, path).send().await.expect("probes are answered");
            assert!(answer.status() == 200 && begun.elapsed() < AT_ONCE, "{path}: {}", answer.status());
        }
        let read = api.get_as("acme", "/api/schedules").send().await.expect("an answer");
        assert_eq!(read.status(), 503, "there is no place for a read either");
        drop(stuck);
    };
    let (answers, ()) = tokio::join!(burst, meanwhile);
    let (served, turned_away): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, ..)| *status == 201);
    assert_eq!([served.len(), turned_away.len()], [PLACES as usize, (BURST - PLACES) as usize]);
    for (status, elapsed, again, body) in turned_away {
        assert_eq!((status, again.as_deref()), (503, Some("1")), "{body}");
        assert_eq!(body["type"], "urn:tidegate:problem:overloaded", "{body}");
        assert!(elapsed < AT_ONCE, "{elapsed:?}");
    }
    // Their places are free again.
    let read = api.get_as("acme", "/api/schedules").send().await.expect("an answer");
    assert_eq!(read.status(), 200);
    drop(streams);
}
