//! Schedules.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use super::{JOBS, counts, post, refused, send, start};
use crate::harness::{DEADLINE, header, success_json};

const CRON: &str = "/api/queue/cron";

fn nightly() -> Value {
    json!({"name": "nightly", "expression": "30 2 * * *", "zone": "Europe/Berlin", "queue": "import", "payload": {"n": 1}})
}

#[tokio::test]
pub(crate) async fn a_schedule_is_made_read_changed_and_removed() {
    let mut api = start().await;
    assert_eq!(api.json(CRON).await, json!({"items": [], "broken": [], "next_cursor": null}));
    let made = send(post(&api, CRON, &nightly())).await;
    assert_eq!((made.status().as_u16(), header(&made, "location").as_str()), (201, "/api/queue/cron/nightly"));
    let made: Value = made.json().await.expect("JSON");
    assert_eq!((&made["kind"], &made["last"]), (&json!("schedule.import"), &Value::Null));
    assert!(made["next"].is_string(), "{made}");
    refused(post(&api, CRON, &nightly()), 409, "exists").await;

    let path = format!("{CRON}/nightly");
    let mut other = nightly();
    other["expression"] = json!("0 3 * * *");
    let put = |path: &str, body: &Value| api.request(Method::PUT, path).json(body);
    let changed = success_json(put(&path, &other)).await;
    assert_ne!(changed["next"], made["next"]);
    other.as_object_mut().expect("an object").remove("name");
    assert_eq!(send(put(&format!("{CRON}/second"), &other)).await.status(), 201);
    assert_eq!(send(put(&format!("{CRON}/second"), &other)).await.status(), 200);
    refused(put(&format!("{CRON}/third"), &nightly()), 422, "bad-schedule").await;

    api.kill_and_restart().await;
    assert_eq!(api.json(&path).await, changed);
    let names: Vec<_> =
        api.json(CRON).await["items"].as_array().expect("items").iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["nightly", "second"]);
    assert_eq!(send(api.request(Method::DELETE, &path)).await.status(), 204);
    refused(api.request(Method::DELETE, &path), 404, "not-found").await;
    refused(api.request(Method::GET, &path), 404, "not-found").await;
}

#[tokio::test]
pub(crate) async fn a_schedule_is_paused_resumed_and_run_out_of_turn() {
    let api = start().await;
    let mut alone = nightly();
    alone["overlap"] = json!("skip");
    success_json(post(&api, CRON, &alone)).await;
    let change = |what: &str| api.request(Method::POST, &format!("{CRON}/nightly/{what}"));
    let paused = success_json(change("pause")).await;
    assert_eq!((&paused["paused"], &paused["next"]), (&json!(true), &Value::Null));

    let triggered = send(change("trigger")).await;
    assert_eq!(triggered.status(), 202);
    let id = triggered.json::<Value>().await.expect("JSON")["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(api.json(&format!("{JOBS}/{id}")).await["state"], "ready");
    let told = refused(change("trigger"), 409, "still-running").await;
    assert_eq!(told["job_id"], json!(id));
    assert_eq!(counts(&api).await, json!({"ready": 1}));

    let resumed = success_json(change("resume")).await;
    assert!(resumed["paused"] == false && resumed["next"].is_string(), "{resumed}");
    for what in ["pause", "resume", "trigger"] {
        for name in ["nothing", "a%2Fb", &"n".repeat(10_000)] {
            refused(api.request(Method::POST, &format!("{CRON}/{name}/{what}")), 404, "not-found").await;
        }
    }
}

#[tokio::test]
pub(crate) async fn a_node_with_a_worker_runs_what_is_due() {
    let api = super::start_with_worker().await;
    let every = json!({"every_ms": 1_000, "queue": "import", "payload": "no import looks like that"});
    success_json(api.request(Method::PUT, &format!("{CRON}/often")).json(&every)).await;
    let ran = poll_until(DEADLINE, async || {
        let dead = api.json("/api/queue/import").await["dead"].as_u64();
        (dead >= Some(2)).then_some(())
    });
    assert!(ran.await.is_ok(), "{}", api.json(&format!("{CRON}/often")).await);
    assert!(api.json(&format!("{CRON}/often")).await["last"]["job"].as_str().unwrap().starts_with("cron:often:"));
}

#[tokio::test]
pub(crate) async fn a_schedule_that_cannot_be_is_refused_with_the_reason() {
    let api = start().await;
    let bad = [
        ("expression", json!("61 * * * *")),
        ("expression", json!("0 0 30 2 *")),
        ("expression", json!("")),
        ("expression", json!("* ".repeat(5_000))),
        ("zone", json!("Europe/Belrin")),
        ("zone", json!("z".repeat(10_000))),
        ("queue", json!("nothing")),
        ("queue", json!("q".repeat(10_000))),
        ("kind", json!("a b")),
        ("name", json!("")),
        ("name", json!("a/b")),
        ("name", json!("n".repeat(10_000))),
        ("grace_ms", json!(86_400_001)),
        ("payload", json!("p".repeat(20_000))),
        ("catch_up", json!({"all": {"at_most": 0}})),
    ];
    for (field, value) in bad {
        let mut schedule = nightly();
        schedule[field] = value;
        let told = refused(post(&api, CRON, &schedule), 422, "bad-schedule").await;
        assert!(told["detail"].as_str().unwrap().len() > 10, "{field}: {told}");
    }
    let mut schedule = nightly();
    schedule["zone"] = json!("Europe/Berln");
    let told = refused(post(&api, CRON, &schedule), 422, "bad-schedule").await;
    assert!(told["detail"].as_str().unwrap().contains("did you mean Europe/Berlin?"), "{told}");
    let wrong = [
        json!({}),
        json!([]),
        json!("nightly"),
        json!({"name": "a", "queue": "import"}),
        json!({"name": "a", "queue": "import", "expression": "@daily", "every_ms": 5_000}),
        json!({"name": "a", "queue": "import", "expression": "@daily", "colour": "red"}),
        json!({"name": "a", "queue": "import", "every_ms": -1}),
        json!({"name": "a", "queue": "import", "expression": "@daily", "priority": 9}),
        json!({"name": 1, "queue": "import", "expression": "@daily"}),
        json!({"name": "a", "queue": ["import"], "expression": "@daily"}),
    ];
    for body in wrong {
        refused(post(&api, CRON, &body), 400, "unexpected-json").await;
    }
    assert_eq!(api.json(CRON).await["items"], json!([]));
}
