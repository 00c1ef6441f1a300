//! Whatever is sent to the queues: a clear problem+json, and nothing done.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{BULK, JOBS, QUEUE, counts, job, post, refused, start};
use crate::harness::Api;

const CRON: &str = "/api/queue/cron";

fn raw(api: &Api, method: Method, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    api.request(method, path).header("content-type", "application/json").body(body)
}

/// Everything that takes a body.
fn bodies() -> [(Method, &'static str); 6] {
    [
        (Method::POST, JOBS),
        (Method::POST, BULK),
        (Method::POST, "/api/queue/import/clean"),
        (Method::PUT, "/api/queue/import/settings"),
        (Method::POST, CRON),
        (Method::PUT, "/api/queue/cron/nightly"),
    ]
}

/// The names of those that there are.
async fn queues(api: &Api) -> Vec<Value> {
    let all = api.json("/api/queue").await;
    all["items"].as_array().expect("items").iter().map(|queue| queue["queue"].clone()).collect()
}

#[tokio::test]
async fn queues_that_are_not_there() {
    let api = start().await;
    let there = queues(&api).await;
    let long = "q".repeat(10_240);
    for queue in [long.as_str(), "nothing", "IMPORT", "import%2F", "%00", "import%20", "ä"] {
        let path = format!("/api/queue/{queue}");
        for suffix in ["", "/settings", "/events", "/jobs", "/jobs/1", "/jobs/1/logs"] {
            let told = refused(api.request(Method::GET, &format!("{path}{suffix}")), 404, "not-found").await;
            assert!(told["detail"].as_str().unwrap().contains("import"), "it names those that are: {told}");
        }
        for suffix in
            ["/pause", "/resume", "/drain", "/retry-dead", "/jobs/1/retry", "/jobs/1/promote", "/jobs/1/cancel"]
        {
            refused(api.request(Method::POST, &format!("{path}{suffix}")), 404, "not-found").await;
        }
        refused(post(&api, &format!("{path}/jobs"), &job()), 404, "not-found").await;
        refused(post(&api, &format!("{path}/jobs/bulk"), &json!({"jobs": [job()]})), 404, "not-found").await;
        refused(post(&api, &format!("{path}/clean"), &json!({"state": "done", "older_than_s": 0})), 404, "not-found")
            .await;
        let settings = api.request(Method::PUT, &format!("{path}/settings")).json(&json!({}));
        refused(settings, 404, "not-found").await;
    }
    assert_eq!(queues(&api).await, there, "none was made");
}

#[tokio::test]
async fn bodies_that_are_no_json_or_nothing_known() {
    let api = start().await;
    let deep = format!("{{\"payload\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let endless = "[".repeat(100_000);
    for (method, path) in bodies() {
        for body in ["", "{", "nul", "{\"payload\":}", "\u{0}", deep.as_str(), endless.as_str(), "{\"payload\":1e999}"]
        {
            let answer = super::send(raw(&api, method.clone(), path, body.to_owned())).await;
            assert_eq!(answer.status(), 400, "{path}: {body:.40}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        for body in ["null", "1", "\"text\"", "[]", "{\"colour\":\"red\"}"] {
            refused(raw(&api, method.clone(), path, body), 400, "unexpected-json").await;
        }
        let form = api.request(method.clone(), path).header("content-type", "text/plain").body("{}");
        refused(form, 415, "unsupported-media-type").await;
        let large = format!("{{\"payload\":\"{}\"}}", "x".repeat(2 << 20));
        refused(raw(&api, method, path, large), 413, "too-large").await;
    }
    assert_eq!(counts(&api).await, json!({}));
    assert_eq!(api.json(CRON).await["items"], json!([]));
}

#[tokio::test]
async fn numbers_and_types_that_no_field_takes() {
    let api = start().await;
    for field in ["delay_ms", "priority", "max_attempts", "expires_in_ms", "timeout_ms"] {
        for value in
            ["1.5", "1e300", "-1e300", "9223372036854775808", "18446744073709551616", "\"1\"", "true", "[1]", "{}"]
        {
            let body = format!("{{\"payload\":1,\"{field}\":{value}}}");
            refused(raw(&api, Method::POST, JOBS, body), 400, "unexpected-json").await;
        }
    }
    for field in ["kind", "run_at", "unique_key", "ordering_key", "group", "id"] {
        for value in ["1", "true", "[]", "{}"] {
            let body = format!("{{\"payload\":1,\"{field}\":{value}}}");
            refused(raw(&api, Method::POST, JOBS, body), 400, "unexpected-json").await;
        }
    }
    for body in ["{}", "{\"kind\":\"test\"}", "{\"payload\":1,\"payload\":2}", "{\"payload\":1,\"state\":\"done\"}"] {
        refused(raw(&api, Method::POST, JOBS, body), 400, "unexpected-json").await;
    }
    assert_eq!(counts(&api).await, json!({}));
}

#[tokio::test]
async fn cursors_limits_and_states_that_are_none() {
    let api = start().await;
    for query in [
        "cursor=x",
        "cursor=",
        "cursor=1.2",
        "cursor=1.2.3.4",
        "cursor=99999999999999999999.1.1",
        "state=tired",
        "limit=0",
        "limit=201",
    ] {
        refused(api.request(Method::GET, &format!("{JOBS}?{query}")), 422, "bad-query").await;
    }
    let long = format!("cursor={}", "9".repeat(10_000));
    refused(api.request(Method::GET, &format!("{JOBS}?{long}")), 422, "bad-query").await;
    for query in ["limit=-1", "limit=x", "limit=1&limit=2", "colour=red", "limit=99999999999999999999999"] {
        refused(api.request(Method::GET, &format!("{JOBS}?{query}")), 400, "bad-query").await;
    }
    for state in ["ready", "delayed", "waiting", "leased", "done", "dead", "cancelled"] {
        assert_eq!(api.json(&format!("{JOBS}?state={state}")).await, json!({"items": [], "next_cursor": null}));
    }
    // A valid cursor, but there is nothing after it.
    assert_eq!(api.json(&format!("{JOBS}?cursor=9.9.9")).await["items"], json!([]));
}

#[tokio::test]
async fn methods_that_a_route_does_not_answer() {
    let api = start().await;
    let wrong = [
        (Method::POST, QUEUE),
        (Method::DELETE, QUEUE),
        (Method::GET, "/api/queue/import/drain"),
        (Method::GET, BULK),
        (Method::PUT, JOBS),
        (Method::DELETE, "/api/queue/import/settings"),
        (Method::POST, "/api/queue/import/events"),
        (Method::DELETE, CRON),
        (Method::POST, "/api/queue/cron/nightly"),
        (Method::GET, "/api/queue/cron/nightly/trigger"),
        (Method::DELETE, "/api/queue/batches/1"),
    ];
    for (method, path) in wrong {
        // A name that is a job's as well is looked for.
        let answer = super::send(api.request(method.clone(), path)).await;
        assert!([404, 405].contains(&answer.status().as_u16()), "{method} {path}: {}", answer.status());
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}
