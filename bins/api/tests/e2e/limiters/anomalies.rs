//! A tenant whose rate is far above its usual one.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;
use tokio::time::MissedTickBehavior;

use crate::harness::{Api, DEADLINE};

/// A rate is learned from 30 of these. A flag needs 50 requests in one, which a busy machine
/// answers in two seconds.
const INTERVAL: Duration = Duration::from_secs(2);

async fn send(api: &Api, requests: usize) {
    for answer in join_all((0..requests).map(|_| api.get_as("acme", "/api/schedules").send())).await {
        answer.expect("an answer");
    }
}

async fn flags(api: &Api) -> Vec<Value> {
    api.json("/api/rate-limit").await["flagged"].as_array().expect("a list").clone()
}

async fn alert(api: &Api) -> Option<Value> {
    let alerts = api.json("/api/performance?type=alerts").await;
    let items = alerts["items"].as_array().expect("a list").clone();
    items.into_iter().find(|alert| alert["rule"] == "tenant_anomaly" && alert["phase"] == "firing")
}

#[tokio::test]
async fn a_tenfold_burst_is_flagged_on_the_page_in_an_alert_and_in_the_answer() {
    let variables = [("TIDEGATE_LIMIT_ANOMALY_INTERVAL", "2s"), ("TIDEGATE_LIMIT_DDOS", "1000000/second")];
    let api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;

    // The usual rate: about two requests in each interval, for more intervals than are learned.
    let mut ticks = tokio::time::interval(INTERVAL / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..70 {
        ticks.tick().await;
        send(&api, 1).await;
    }
    assert_eq!(flags(&api).await, [] as [Value; 0]);

    // The burst lasts until all is seen; requests over the quota count too.
    let burst = async {
        loop {
            send(&api, 100).await;
        }
    };
    let seen = async {
        let flagged = poll_until(DEADLINE, async || flags(&api).await.pop());
        let flag: Value = flagged.await.expect("a flag");
        assert_eq!((&flag["tenant_id"], &flag["interval_seconds"]), (&json!("acme"), &json!(2.0)), "{flag}");
        let number = |member: &str| flag[member].as_f64().expect("a number");
        assert!(number("requests") >= 50.0 && number("requests") >= 5.0 * number("usual"), "{flag}");
        let alert = poll_until(DEADLINE, async || alert(&api).await).await.expect("an alert");
        assert_eq!((&alert["subject"], &alert["severity"]), (&json!("acme"), &json!("warning")), "{alert}");
        let page = poll_until(DEADLINE, async || {
            let answer = api.request(Method::GET, "/dashboard/limits").send().await.expect("an answer");
            let page = answer.text().await.expect("a page");
            page.contains("Unusual rates").then_some(page)
        });
        let page = page.await.expect("the page with the flag");
        assert!(page.contains("/dashboard/limits?tenant=acme"), "{page}");
    };
    tokio::select! {
        () = burst => {}
        () = seen => {}
    }
}
