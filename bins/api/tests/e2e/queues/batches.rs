//! Groups over HTTP: made once with a key, and closed to jobs that they would not count.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{BULK, JOBS, counts, done, job, post, refused, send, start};
use crate::harness::{Api, header};

const BATCHES: &str = "/api/queue/batches";

fn keyed(api: &Api, body: &Value, key: &str) -> RequestBuilder {
    post(api, BATCHES, body).header("idempotency-key", key)
}

fn in_group(group: &str) -> Value {
    json!({"kind": "test", "payload": {"n": 1}, "group": group})
}

#[tokio::test]
pub(crate) async fn a_key_makes_one_batch_and_another_body_is_refused() {
    let api = start().await;
    let batch = json!({"queue": "import", "completion": {"queue": "report", "kind": "after", "payload": {"n": 7}}});
    let first = send(keyed(&api, &batch, "campaign-7")).await;
    assert_eq!((first.status().as_u16(), header(&first, "idempotent-replayed").as_str()), (201, ""));
    let (location, first) = (header(&first, "location"), first.json::<Value>().await.expect("JSON"));
    let id = first["id"].as_str().expect("an id");
    assert_eq!(location, format!("{BATCHES}/{id}"));
    assert_eq!(send(post(&api, JOBS, &in_group(id))).await.status(), 201);
    done(&api, &format!("{location}/seal")).await;

    let again = send(keyed(&api, &batch, "campaign-7")).await;
    assert_eq!((again.status().as_u16(), header(&again, "idempotent-replayed").as_str()), (201, "true"));
    assert_eq!(header(&again, "location"), location);
    let again = again.json::<Value>().await.expect("JSON");
    assert_eq!((&again["id"], &again["total"], &again["sealed"]), (&first["id"], &json!(1), &json!(true)));

    let mut other = batch.clone();
    other["completion"]["payload"] = json!({"n": 8});
    for other in [other, json!({"queue": "import"}), json!({"queue": "report"})] {
        refused(keyed(&api, &other, "campaign-7"), 422, "idempotency-key-reused").await;
    }
    let named = json!({"queue": "import", "id": "campaign"});
    refused(keyed(&api, &named, "campaign-8"), 422, "two-names").await;
    let another = send(keyed(&api, &batch, "campaign-8")).await.json::<Value>().await.expect("JSON");
    assert_ne!(another["id"], first["id"]);
}

#[tokio::test]
pub(crate) async fn a_batch_takes_no_job_that_it_would_not_count() {
    let api = start().await;
    assert_eq!(send(post(&api, BATCHES, &json!({"queue": "import", "id": "g"}))).await.status(), 201);
    let told = refused(post(&api, "/api/queue/report/jobs", &in_group("g")), 409, "batch-elsewhere").await;
    assert!(told["detail"].as_str().expect("text").contains("import"), "{told}");
    let mut member = in_group("g");
    member["id"] = json!("member");
    assert_eq!(send(post(&api, JOBS, &member)).await.status(), 201);
    done(&api, &format!("{BATCHES}/g/seal")).await;

    refused(post(&api, JOBS, &in_group("g")), 409, "batch-sealed").await;
    refused(post(&api, BULK, &json!({"jobs": [job(), in_group("g")]})), 409, "batch-sealed").await;
    assert_eq!(send(post(&api, JOBS, &member)).await.status(), 200, "it is there");
    assert_eq!(counts(&api).await, json!({"ready": 1}));
    assert_eq!(api.json(&format!("{BATCHES}/g")).await["total"], 1);
}

#[tokio::test]
pub(crate) async fn the_document_says_what_ids_look_like() {
    let api = start().await;
    let document = api.json("/openapi.json").await;
    let body = |path: &str, method: &str| {
        document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"].clone()
    };
    let batch = body(BATCHES, "post")["properties"]["id"].to_string();
    assert!(batch.contains("{1,64}"), "{batch}");
    let ids = body("/api/queue/{queue}/jobs", "delete")["oneOf"][0]["properties"]["ids"]["items"].to_string();
    assert!(ids.contains("{1,128}"), "{ids}");
}

/// `PUT` with nothing in it ended a pause.
#[tokio::test]
pub(crate) async fn the_pause_of_a_scan_has_to_be_named() {
    const SCAN: &str = "/api/queue/scans/schedule.reindex";
    let api = start().await;
    let put = |body: &Value| api.request(Method::PUT, SCAN).json(body);
    assert_eq!(send(put(&json!({"pause_ms": 5_000}))).await.status(), 200);
    refused(put(&json!({})), 422, "bad-pause").await;
    assert_eq!(api.json(SCAN).await["pause_ms"], 5_000);
    assert_eq!(send(put(&json!({"pause_ms": null}))).await.status(), 200);
    assert_eq!(api.json(SCAN).await["pause_ms"], json!(null));
}
