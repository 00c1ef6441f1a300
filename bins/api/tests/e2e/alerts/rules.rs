//! Rules on dead letters and on metrics, as an operator sets them.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use super::listener::Listener;
use super::until_it_fires;
use crate::harness::{Api, DEADLINE, api, run, success_json};

const RULES: &str = "dead_letters: > 2 for 2s critical, \
                     stopped: tidegate_queue_paused{queue=import} > 0 for 1s, \
                     wrong: tidegate_queue_lenght > 5";

/// Waits until the alert of the rule has ended well, which takes a minute after the last breach.
async fn until_it_is_resolved(api: &Api, rule: &str) {
    let mut last = Value::Null;
    let resolved = poll_until(3 * DEADLINE, async || {
        last = api.json("/api/performance?type=alerts&limit=100").await;
        let items = last["items"].as_array().expect("items");
        items.iter().find(|item| item["rule"] == rule).is_some_and(|item| item["phase"] == "resolved").then_some(())
    });
    assert!(resolved.await.is_ok(), "{rule} is not resolved: {last}");
}

#[tokio::test]
async fn dead_letters_and_a_rule_on_a_metric_raise_alerts_that_clear() {
    let mut api = Api::start_with(&[("TIDEGATE_ALERTS_RULES", RULES)]).await;
    let mut listener = Listener::open(&api, "/api/events?topics=alerts", None).await;
    // No import looks like that: each dies at its first run.
    for payload in 0..3 {
        let job = json!({"payload": payload});
        success_json(api.request(Method::POST, "/api/queue/import/jobs").json(&job)).await;
    }
    let dead = until_it_fires(&api, "dead_letters").await;
    assert_eq!((&dead["subject"], &dead["severity"]), (&json!("import"), &json!("critical")), "{dead}");
    assert_eq!(dead["detail"], "number of dead letters of queue import is 3, above 2 for 2 seconds");
    listener.until(|event| event.data["alert"]["rule"] == "dead_letters").await;

    success_json(api.request(Method::POST, "/api/queue/import/pause")).await;
    let stopped = until_it_fires(&api, "stopped").await;
    assert_eq!(stopped["subject"], "queue=import");
    assert_eq!(stopped["detail"], "tidegate_queue_paused (queue=import) is 1, above 0 for 1 second");
    let told = api.json("/api/performance?type=alerts").await;
    assert_eq!(told["without_data"], json!([{"rule": "wrong", "metric": "tidegate_queue_lenght"}]));
    let line = api.process.wait_for_line("a metric that this process does not export", DEADLINE).await.expect("a line");
    assert!(line.contains("tidegate_queue_lenght") && line.contains("nearest=\"tidegate_queue_length\""), "{line}");

    success_json(api.request(Method::POST, "/api/queue/import/resume")).await;
    let clean = json!({"state": "dead", "older_than_s": 0});
    success_json(api.request(Method::POST, "/api/queue/import/clean").json(&clean)).await;
    until_it_is_resolved(&api, "dead_letters").await;
    until_it_is_resolved(&api, "stopped").await;
}

#[tokio::test]
async fn a_bad_rule_stops_the_start_with_its_name_and_place() {
    let scratch = tidegate_testkit::Scratch::new();
    let text = "backlog: > 5000, mine: tidegate_queue_length{queue=import} above 5";
    let ended = run(api(scratch.path(), &[("TIDEGATE_ALERTS_RULES", text)])).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    for part in
        ["alerts.rules", "TIDEGATE_ALERTS_RULES", "rule 2 (`mine`), character 43", "expected `>` or `<`, found `above`"]
    {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
}
