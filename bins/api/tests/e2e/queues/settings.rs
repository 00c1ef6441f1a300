//! Settings of a queue, and the events that they turn on.

use reqwest::Method;
use serde_json::{Value, json};

use super::{JOBS, QUEUE, enqueue, job, refused, send, start};
use crate::harness::success_json;

const SETTINGS: &str = "/api/queue/import/settings";
const EVENTS: &str = "/api/queue/import/events";

#[tokio::test]
pub(crate) async fn settings_are_kept_and_shown() {
    let mut api = start().await;
    let none = json!({"max_running": null, "rate": null, "events": false});
    assert_eq!(api.json(SETTINGS).await, none);
    let some = json!({"max_running": 3, "rate": {"jobs": 100, "per_ms": 1_000}, "events": true});
    assert_eq!(success_json(api.request(Method::PUT, SETTINGS).json(&some)).await, some);
    assert_eq!(api.json(SETTINGS).await, some);
    assert_eq!(api.json(QUEUE).await["settings"], some);
    api.kill_and_restart().await;
    assert_eq!(api.json(SETTINGS).await, some);
    assert_eq!(success_json(api.request(Method::PUT, SETTINGS).json(&json!({}))).await, none);
    assert_eq!(api.json(SETTINGS).await, none);
}

#[tokio::test]
pub(crate) async fn settings_that_cannot_be_are_refused() {
    let api = start().await;
    let put = |body: &Value| api.request(Method::PUT, SETTINGS).json(body);
    for bad in [
        json!({"max_running": 0}),
        json!({"max_running": -1}),
        json!({"max_running": 4_294_967_296_i64}),
        json!({"rate": {"jobs": 0, "per_ms": 1}}),
        json!({"rate": {"jobs": 1, "per_ms": 0}}),
        json!({"rate": {"jobs": -1, "per_ms": 1_000}}),
        json!({"rate": {"jobs": 1, "per_ms": 86_400_001}}),
        json!({"rate": {"jobs": 4_294_967_296_i64, "per_ms": 1_000}}),
    ] {
        refused(put(&bad), 422, "bad-settings").await;
    }
    for wrong in [
        json!({"max_runing": 1}),
        json!({"max_running": "3"}),
        json!({"max_running": 1.5}),
        json!({"rate": [1, 1_000]}),
        json!({"rate": {"jobs": 1}}),
        json!({"rate": {"jobs": 1, "per_ms": 1_000, "burst": 2}}),
        json!({"events": 1}),
        json!({"events": null}),
        json!([3]),
        json!(null),
    ] {
        refused(put(&wrong), 400, "unexpected-json").await;
    }
    assert_eq!(api.json(SETTINGS).await, json!({"max_running": null, "rate": null, "events": false}));
}

#[tokio::test]
pub(crate) async fn events_are_read_from_where_the_reader_was() {
    let api = start().await;
    enqueue(&api, &job()).await;
    let off = api.json(EVENTS).await;
    assert_eq!((&off["items"], &off["enabled"]), (&json!([]), &json!(false)));

    success_json(api.request(Method::PUT, SETTINGS).json(&json!({"events": true}))).await;
    let begin = api.json(EVENTS).await;
    assert_eq!((&begin["items"], &begin["enabled"]), (&json!([]), &json!(true)));
    let mut cursor = begin["next_cursor"].as_str().expect("a cursor").to_owned();

    let id = enqueue(&api, &job()).await;
    assert_eq!(send(api.request(Method::DELETE, &format!("{JOBS}/{id}"))).await.status(), 204);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = api.json(&format!("{EVENTS}?after={cursor}&limit=1")).await;
        cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
        seen.extend(page["items"].as_array().expect("items").clone());
    }
    let told: Vec<_> = seen.iter().map(|event| (&event["event"], &event["id"])).collect();
    assert_eq!(told, [(&json!("enqueued"), &json!(id)), (&json!("cancelled"), &json!(id))]);
    assert!(seen.iter().all(|event| event["at"].is_string() && event.get("payload").is_none()), "{seen:?}");

    for (query, status) in
        [("limit=0", 422), ("limit=1001", 422), ("limit=x", 400), ("since=1", 400), ("after=", 422), ("after=%00", 422)]
    {
        refused(api.request(Method::GET, &format!("{EVENTS}?{query}")), status, "bad-query").await;
    }
    // What this queue never gave reads as a place before all events.
    for garbage in ["x", "1.2.3", "99999999999999999999999", "-1", "%F0%9F%92%A5", &"9".repeat(4_000)] {
        let answer = send(api.request(Method::GET, &format!("{EVENTS}?after={garbage}"))).await;
        assert!([200, 422].contains(&answer.status().as_u16()), "{garbage}: {}", answer.status());
    }
}
