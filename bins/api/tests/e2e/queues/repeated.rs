//! The same request again: by the client's id, and by `Idempotency-Key`.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{BULK, JOBS, counts, enqueue, job, post, refused, send, start};
use crate::harness::{Api, header, success_json};

fn with_key(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("idempotency-key", key)
}

async fn id_of(request: RequestBuilder) -> String {
    success_json(request).await["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
pub(crate) async fn a_key_makes_one_job_and_another_body_is_refused() {
    let api = start().await;
    let first = send(with_key(post(&api, JOBS, &job()), "order-7")).await;
    assert_eq!((first.status().as_u16(), header(&first, "idempotent-replayed").as_str()), (201, ""));
    let (location, first) = (header(&first, "location"), first.json::<Value>().await.expect("JSON"));
    for key in ["order-7", "\"order-7\""] {
        let again = send(with_key(post(&api, JOBS, &job()), key)).await;
        assert_eq!((again.status().as_u16(), header(&again, "idempotent-replayed").as_str()), (201, "true"));
        assert_eq!(header(&again, "location"), location);
        assert_eq!(again.json::<Value>().await.expect("JSON"), first);
    }
    for (field, value) in [
        ("payload", json!({"n": 2})),
        ("kind", json!("other")),
        ("priority", json!(1)),
        ("max_attempts", json!(7)),
        ("group", json!("g")),
    ] {
        let mut other = job();
        other[field] = value;
        refused(with_key(post(&api, JOBS, &other), "order-7"), 422, "idempotency-key-reused").await;
    }
    assert_eq!(counts(&api).await, json!({"ready": 1}));
    assert_ne!(id_of(with_key(post(&api, JOBS, &job()), "order-8")).await, first["id"]);
}

#[tokio::test]
pub(crate) async fn of_twenty_at_once_with_one_key_one_job_is_made() {
    let api = start().await;
    let asked = (0..20).map(|_| id_of(with_key(post(&api, JOBS, &job()), "one")));
    let ids = futures_util::future::join_all(asked).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(counts(&api).await, json!({"ready": 1}));
}

#[tokio::test]
pub(crate) async fn an_id_of_the_clients_is_known_or_another_jobs() {
    let api = start().await;
    let named = json!({"kind": "test", "payload": {"n": 1}, "id": "invoice-7"});
    assert_eq!(enqueue(&api, &named).await, "invoice-7");
    let again = send(post(&api, JOBS, &named)).await;
    assert_eq!((again.status().as_u16(), header(&again, "location")), (200, format!("{JOBS}/invoice-7")));
    let mut other = named.clone();
    other["payload"] = json!({"n": 2});
    let told = refused(post(&api, JOBS, &other), 409, "exists").await;
    assert_eq!(told["id"], "invoice-7");
    refused(with_key(post(&api, JOBS, &named), "k"), 422, "two-names").await;
    refused(with_key(post(&api, BULK, &json!({"jobs": [named]})), "k"), 422, "two-names").await;
    assert_eq!(counts(&api).await, json!({"ready": 1}));
}

#[tokio::test]
pub(crate) async fn a_key_makes_one_bulk_whatever_is_sent_with_it_again() {
    let api = start().await;
    let jobs = |numbers: &[i32]| -> Value {
        let jobs: Vec<_> = numbers.iter().map(|n| json!({"kind": "test", "payload": n})).collect();
        json!({"jobs": jobs})
    };
    let bulk = |numbers: &[i32]| with_key(post(&api, BULK, &jobs(numbers)), "batch-7");
    let first = success_json(bulk(&[1, 2, 3])).await;
    assert_eq!(success_json(bulk(&[1, 2, 3])).await, first);
    for other in [&[1, 2][..], &[1, 2, 3, 4], &[3, 2, 1], &[1, 2, 4], &[1]] {
        refused(bulk(other), 422, "idempotency-key-reused").await;
    }
    assert_eq!(counts(&api).await, json!({"ready": 3}));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let api: Api = start().await;
    for key in ["", "\"\"", "a\"b", &"k".repeat(256)] {
        refused(with_key(post(&api, JOBS, &job()), key), 400, "bad-idempotency-key").await;
    }
    let twice = with_key(with_key(post(&api, JOBS, &job()), "a"), "b");
    refused(twice, 400, "bad-idempotency-key").await;
    assert_eq!(counts(&api).await, json!({}));
}
