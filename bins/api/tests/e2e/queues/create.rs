//! Enqueueing one job.

use serde_json::{Value, json};

use super::{JOBS, QUEUE, counts, done, enqueue, ids, job, post, refused, start};
use crate::harness::Api;

async fn found(api: &Api, id: &str) -> Value {
    api.json(&format!("{JOBS}/{id}")).await
}

#[tokio::test]
pub(crate) async fn a_job_is_as_it_was_described_and_its_payload_stays_inside() {
    let api = start().await;
    let id = enqueue(
        &api,
        &json!({
            "payload": {"secret": "s3cret"}, "kind": "mail:welcome", "id": "welcome-7", "priority": 0, "max_attempts": 5,
            "expires_in_ms": 60_000, "timeout_ms": 1_000, "group": "letters",
        }),
    )
    .await;
    assert_eq!(id, "welcome-7");
    let job = found(&api, &id).await;
    let expected = [
        ("kind", json!("mail:welcome")),
        ("queue", json!("import")),
        ("state", json!("ready")),
        ("priority", json!(0)),
        ("max_attempts", json!(5)),
        ("group", json!("letters")),
        ("attempts", json!([])),
        ("progress", Value::Null),
        ("result", Value::Null),
        ("finished_at", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(job[field], value, "{field}: {job}");
    }
    assert!(job["expires_at"].as_str() > job["created_at"].as_str(), "{job}");
    assert!(!job.to_string().contains("s3cret"), "{job}");
    for hidden in ["payload", "checkpoint", "version"] {
        assert_eq!(job.get(hidden), None, "{hidden}");
    }
    let batch = api.json("/api/queue/batches/letters").await;
    let expected = json!({
        "id": "letters", "queue": "import", "total": 1, "done": 0, "dead": 0, "cancelled": 0, "pending": 1,
        "sealed": false, "created_at": null, "completed_at": null, "completion_job": null, "percent": 0,
    });
    assert_eq!(batch, expected);

    // Nothing but a payload: the queue's own kind, at once, at normal priority.
    let plain = found(&api, &enqueue(&api, &json!({"payload": null})).await).await;
    assert_eq!((&plain["kind"], &plain["priority"]), (&json!("schedule.import"), &json!(2)));
    assert_eq!(ids(&api, "ready").await.first(), Some(&id), "the urgent one goes first");
}

#[tokio::test]
pub(crate) async fn a_delayed_job_waits_for_its_time_and_a_past_time_is_now() {
    let api = start().await;
    let later = enqueue(&api, &json!({"kind": "test", "payload": 1, "delay_ms": 3_600_000})).await;
    let at = enqueue(&api, &json!({"kind": "test", "payload": 1, "run_at": "2999-01-01T00:00:00+02:00"})).await;
    let past = enqueue(&api, &json!({"kind": "test", "payload": 1, "run_at": "1999-01-01T00:00:00Z"})).await;
    assert_eq!(ids(&api, "delayed").await, [later, at.clone()]);
    assert_eq!(ids(&api, "ready").await, [past]);
    assert_eq!(found(&api, &at).await["run_at"], "2998-12-31T22:00:00.000Z");
}

#[tokio::test]
pub(crate) async fn a_unique_key_is_held_until_its_job_is_over_and_the_holder_is_named() {
    let api = start().await;
    let unique = json!({"kind": "test", "payload": 1, "unique_key": "reindex"});
    let holder = enqueue(&api, &unique).await;
    let told = refused(post(&api, JOBS, &unique), 409, "duplicate").await;
    assert_eq!(told["held_by"], json!(holder));
    assert_eq!(counts(&api).await, json!({"ready": 1}));
    assert_eq!(found(&api, &holder).await["unique_key"], "reindex");

    let cancel = api.request(reqwest::Method::DELETE, &format!("{JOBS}/{holder}"));
    assert_eq!(super::send(cancel).await.status(), 204);
    assert_ne!(enqueue(&api, &unique).await, holder);
}

#[tokio::test]
pub(crate) async fn jobs_of_an_ordering_key_wait_for_one_another() {
    let api = start().await;
    let ordered = json!({"kind": "test", "payload": 1, "ordering_key": "account 7"});
    let (first, second, third) =
        (enqueue(&api, &ordered).await, enqueue(&api, &ordered).await, enqueue(&api, &ordered).await);
    assert_eq!(ids(&api, "ready").await, [first.as_str()]);
    assert_eq!(ids(&api, "waiting").await, [second.as_str(), third.as_str()]);
    let queue = api.json(QUEUE).await;
    assert_eq!((&queue["ready"], &queue["waiting"]), (&json!(1), &json!(2)));
    // What waits behind another can't be put before it.
    for change in ["retry", "promote"] {
        refused(api.request(reqwest::Method::POST, &format!("{JOBS}/{second}/{change}")), 409, "wrong-state").await;
    }
    let cancel = api.request(reqwest::Method::DELETE, &format!("{JOBS}/{first}"));
    assert_eq!(super::send(cancel).await.status(), 204);
    assert_eq!(ids(&api, "ready").await, [second]);
}

#[tokio::test]
pub(crate) async fn every_wrong_field_is_named_and_nothing_is_enqueued() {
    let api = start().await;
    let wrong = json!({
        "payload": 1, "kind": "käse", "delay_ms": -1, "priority": 5, "max_attempts": 0, "timeout_ms": 0,
        "expires_in_ms": 0, "group": "a b", "id": "../x", "run_at": "tomorrow",
    });
    let told = refused(post(&api, JOBS, &wrong), 422, "invalid-fields").await;
    let mut fields: Vec<_> = told["fields"].as_object().expect("fields").keys().map(String::as_str).collect();
    fields.sort_unstable();
    // The kind is looked at when all else is right.
    let expected = ["delay_ms", "expires_in_ms", "group", "id", "max_attempts", "priority", "run_at", "timeout_ms"];
    assert_eq!(fields, expected, "{told}");

    let single = [
        ("kind", json!("käse")),
        ("kind", json!("")),
        ("kind", json!("k".repeat(10_000))),
        ("unique_key", json!("")),
        ("unique_key", json!("a\u{0}b")),
        ("unique_key", json!("k".repeat(257))),
        ("ordering_key", json!("")),
        ("ordering_key", json!("line\nbreak")),
        ("id", json!("")),
        ("id", json!("i".repeat(129))),
        ("group", json!("g".repeat(65))),
        ("delay_ms", json!(i64::MAX)),
        ("delay_ms", json!(i64::MIN)),
        ("expires_in_ms", json!(-1)),
        ("timeout_ms", json!(i64::MAX)),
        ("priority", json!(-1)),
        ("priority", json!(260)),
        ("max_attempts", json!(4_294_967_297_i64)),
        ("run_at", json!("")),
        ("run_at", json!("2030-01-07")),
    ];
    for (field, value) in single {
        let mut body = job();
        body[field] = value;
        let told = refused(post(&api, JOBS, &body), 422, "invalid-fields").await;
        assert!(told["fields"][field].is_string(), "{field}: {told}");
    }
    let both = json!({"payload": 1, "delay_ms": 1, "run_at": "2030-01-07T09:00:00Z"});
    refused(post(&api, JOBS, &both), 422, "invalid-fields").await;
    // An id with a key has no room for more than the key's route.
    let long = json!({"payload": 1, "id": "i".repeat(128), "unique_key": "k"});
    assert!(refused(post(&api, JOBS, &long), 422, "invalid-fields").await["fields"]["id"].is_string());
    assert_eq!(counts(&api).await, json!({}));
}

#[tokio::test]
pub(crate) async fn a_group_is_created_sealed_and_ends_with_its_job() {
    const BATCHES: &str = "/api/queue/batches";
    let api = start().await;
    let body = json!({"queue": "import", "id": "g", "completion": {"queue": "import", "kind": "end", "payload": 7}});
    let answer = super::send(post(&api, BATCHES, &body)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (201, &"/api/queue/batches/g".parse().unwrap())
    );
    refused(post(&api, BATCHES, &body), 409, "exists").await;
    let member = enqueue(&api, &json!({"kind": "test", "payload": 1, "group": "g"})).await;

    let sealed = done(&api, "/api/queue/batches/g/seal").await;
    assert_eq!(
        (&sealed["sealed"], &sealed["pending"], &sealed["completed_at"]),
        (&json!(true), &json!(1), &json!(null))
    );
    let cancel = api.request(reqwest::Method::DELETE, &format!("{JOBS}/{member}"));
    assert_eq!(super::send(cancel).await.status(), 204);
    // Without a worker nothing looks at the group: sealing it once more does.
    let completed = done(&api, "/api/queue/batches/g/seal").await;
    assert_eq!((&completed["cancelled"], &completed["percent"]), (&json!(1), &json!(100)));
    let job = api.json(&format!("{JOBS}/{}", ids(&api, "ready").await[0])).await;
    assert_eq!((&job["kind"], &job["state"]), (&json!("end"), &json!("ready")));

    let forget = || api.request(reqwest::Method::DELETE, "/api/queue/batches/g");
    assert_eq!(super::send(forget()).await.status(), 204);
    refused(forget(), 404, "not-found").await;
    refused(api.request(reqwest::Method::POST, "/api/queue/batches/g/seal"), 404, "not-found").await;
    for wrong in [
        json!({"queue": "nothing"}),
        json!({"queue": "import", "id": "a b"}),
        json!({"queue": "import", "completion": {"queue": "import", "kind": "a b", "payload": 1}}),
    ] {
        refused(post(&api, BATCHES, &wrong), 422, "bad-batch").await;
    }
}
