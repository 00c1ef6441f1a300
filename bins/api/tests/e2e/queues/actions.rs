//! Changes of a queue as a whole.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{poll_until, scale};

use super::{BULK, JOBS, QUEUE, counts, done, enqueue, job, post, refused, send, start};
use crate::harness::{Api, DEADLINE, csv, success_json};

async fn fill(api: &Api, jobs: usize, job: &Value) {
    let mut left = jobs;
    while left > 0 {
        let count = left.min(1_000);
        let jobs: Vec<_> = (0..count).map(|_| job.clone()).collect();
        assert_eq!(send(post(api, BULK, &json!({"jobs": jobs}))).await.status(), 201);
        left -= count;
    }
}

#[tokio::test]
pub(crate) async fn a_queue_is_drained_in_steps_and_then_cleaned() {
    let api = start().await;
    fill(&api, 1_200, &job()).await;
    let mut delayed = job();
    delayed["delay_ms"] = json!(3_600_000);
    fill(&api, 50, &delayed).await;
    let ordered = json!({"kind": "test", "payload": 1, "ordering_key": "k"});
    for _ in 0..3 {
        enqueue(&api, &ordered).await;
    }
    let drained = done(&api, &format!("{QUEUE}/drain")).await;
    assert_eq!(drained, json!({"queue": "import", "moved": 1_253, "more": false}));
    assert_eq!(counts(&api).await, json!({"cancelled": 1_253}));
    let again = done(&api, &format!("{QUEUE}/drain")).await;
    assert_eq!((&again["moved"], &again["more"]), (&json!(0), &json!(false)));

    let clean =
        |state: &str, age: i64| post(&api, &format!("{QUEUE}/clean"), &json!({"state": state, "older_than_s": age}));
    for (state, age) in [("done", 0), ("dead", 0), ("cancelled", 3_600), ("cancelled", i64::MAX)] {
        let cleaned = success_json(clean(state, age)).await;
        assert_eq!(cleaned, json!({"queue": "import", "removed": 0, "more": false}), "{state} {age}");
    }
    let cleaned = poll_until(DEADLINE, async || {
        // What ended within this very millisecond is not older than no time at all.
        success_json(clean("cancelled", 0)).await;
        (counts(&api).await == json!({})).then_some(())
    });
    assert!(cleaned.await.is_ok(), "{}", counts(&api).await);
}

#[tokio::test]
async fn a_clean_request_with_invalid_fields_is_refused() {
    let api = start().await;
    let id = enqueue(&api, &job()).await;
    assert_eq!(send(api.request(Method::DELETE, &format!("{JOBS}/{id}"))).await.status(), 204);
    let clean = |body: Value| post(&api, &format!("{QUEUE}/clean"), &body);
    for state in ["ready", "leased", "delayed", "waiting", "", "all", &"x".repeat(10_000)] {
        refused(clean(json!({"state": state, "older_than_s": 0})), 422, "bad-state").await;
    }
    refused(clean(json!({"state": "cancelled", "older_than_s": -1})), 422, "bad-age").await;
    let wrong = [
        json!({}),
        json!({"state": "cancelled"}),
        json!({"older_than_s": 0}),
        json!({"state": "cancelled", "older_than_s": 1.5}),
        json!({"state": "cancelled", "older_than_s": 1e300}),
        json!({"state": "cancelled", "older_than_s": "0"}),
        json!({"state": "cancelled", "older_than_s": 0, "limit": 1}),
        json!(["cancelled", 0]),
    ];
    for body in wrong {
        refused(clean(body), 400, "unexpected-json").await;
    }
    assert_eq!(counts(&api).await, json!({"cancelled": 1}));
}

#[tokio::test]
pub(crate) async fn all_dead_jobs_are_tried_again() {
    let api = super::start_with_worker().await;
    // No import looks like that: each dies at its first run.
    let broken: Vec<_> = (0..20).map(|n| json!({"payload": n})).collect();
    assert_eq!(send(post(&api, BULK, &json!({"jobs": broken}))).await.status(), 201);
    let all_dead = async || {
        let dead = poll_until(DEADLINE, async || (counts(&api).await == json!({"dead": 20})).then_some(()));
        assert!(dead.await.is_ok(), "{}", counts(&api).await);
    };
    all_dead().await;
    let dead = super::ids(&api, "dead").await;
    let told = refused(api.request(Method::POST, &format!("{}/{}/cancel", JOBS, dead[0])), 409, "wrong-state").await;
    assert!(told["detail"].as_str().expect("text").contains("dead"), "{told}");
    let paused = done(&api, &format!("{QUEUE}/pause")).await;
    assert_eq!(paused, json!({"queue": "import", "paused": true}));
    let revived = done(&api, &format!("{QUEUE}/retry-dead")).await;
    assert_eq!(revived, json!({"queue": "import", "moved": 20, "more": false}));
    assert_eq!(counts(&api).await, json!({"ready": 20}));
    assert_eq!(done(&api, &format!("{QUEUE}/resume")).await["paused"], false);
    all_dead().await;
    assert_eq!(api.json(QUEUE).await["failed_total"], 40);
}

#[tokio::test]
pub(crate) async fn the_schedules_of_a_tenant_are_reindexed_with_pause_and_completion() {
    const SCAN: &str = "/api/queue/scans/schedule.reindex";
    const SCHEDULE: &str = "/api/queue/schedule";
    let api = super::start_with_worker().await;
    api.create_tenant("acme", "enterprise").await;
    let rows = scale(1_100, 1_000_000);
    let pages = rows.div_ceil(500);
    for first in (0..rows).step_by(100_000) {
        let import = api.import_csv("acme", csv((rows - first).min(100_000), &[])).await;
        api.job_in_state(&import, "done").await;
    }
    let pause = |pause: Value| api.request(Method::PUT, SCAN).json(&json!({"pause_ms": pause}));
    // The first page is read, and the scan stays away before the second.
    assert_eq!(success_json(pause(json!(3_600_000))).await["pause_ms"], 3_600_000);
    let begun = done(&api, "/api/tenants/acme/reindex").await;
    let scan = begun["location"].as_str().expect("a location").to_owned();
    let paused = poll_until(DEADLINE, async || {
        let job = api.json(&scan).await;
        (job["state"] == "delayed").then_some(job)
    });
    let paused = paused.await.expect("it is paused");
    let first_page = 50_000 / rows as u64;
    assert!((first_page..100).contains(&paused["progress"]["percent"].as_u64().expect("its progress")), "{paused}");
    refused(api.request(Method::POST, "/api/tenants/acme/reindex"), 409, "duplicate").await;
    refused(api.request(Method::POST, "/api/tenants/nobody/reindex"), 404, "not-found").await;
    refused(pause(json!(-1)), 422, "bad-pause").await;

    assert_eq!(success_json(pause(json!(null))).await["pause_ms"], json!(null));
    assert_eq!(send(api.request(Method::POST, &format!("{scan}/promote"))).await.status(), 204);
    let finished = poll_until(Duration::from_secs(scale(60, 600) as u64), async || {
        let page = api.json(&format!("{SCHEDULE}/jobs?state=done&limit=200")).await;
        page["items"].as_array().expect("items").iter().find(|job| job["kind"] == "schedule.reindexed").cloned()
    });
    let finished = finished.await.expect("the last job");
    assert_eq!((&finished["result"]["done"], &finished["result"]["dead"]), (&json!(pages), &json!(0)));
    let scan = api.json(&scan).await;
    assert_eq!(
        (&scan["state"], &scan["result"]["rows"], &scan["result"]["jobs"]),
        (&json!("done"), &json!(rows), &json!(pages))
    );
    let group = scan["result"]["group"].as_str().expect("a group").replace(':', "%3A");
    let batch = api.json(&format!("/api/queue/batches/{group}")).await;
    assert_eq!((&batch["done"], &batch["sealed"], &batch["percent"]), (&json!(pages), &json!(true), &json!(100)));
}
