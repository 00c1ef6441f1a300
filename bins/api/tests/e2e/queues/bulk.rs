//! Enqueueing many jobs, all or none.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{BULK, counts, enqueue, ids, job, post, refused, start};
use crate::backend::is_shared;
use crate::harness::{Api, success_json};

#[tokio::test]
pub(crate) async fn a_thousand_arrive_in_their_order() {
    let api = start().await;
    let jobs: Vec<_> = (0..1_000).map(|n| json!({"kind": "test", "payload": n})).collect();
    let answer = success_json(post(&api, BULK, &json!({"jobs": jobs}))).await;
    let given: Vec<_> = answer["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert_eq!((given.len(), &answer["known"], &answer["duplicates"]), (1_000, &json!([]), &json!([])));
    assert_eq!(counts(&api).await, json!({"ready": 1_000}));
    assert_eq!(ids(&api, "ready").await, given[..200]);

    let more: Vec<_> = (0..1_001).map(|_| job()).collect();
    refused(post(&api, BULK, &json!({"jobs": more})), 422, "bad-bulk").await;
    refused(post(&api, BULK, &json!({"jobs": []})), 422, "bad-bulk").await;
    assert_eq!(counts(&api).await, json!({"ready": 1_000}));
}

#[tokio::test]
pub(crate) async fn one_bad_entry_is_named_and_none_is_enqueued() {
    let api = start().await;
    let bad = [
        ("delay_ms", json!(-5)),
        ("kind", json!("a b")),
        ("unique_key", json!("")),
        ("priority", json!(9)),
        ("id", json!("a/b")),
    ];
    for (field, value) in bad {
        let mut jobs: Vec<_> = (0..20).map(|_| job()).collect();
        jobs[13][field] = value;
        let told = refused(post(&api, BULK, &json!({"jobs": jobs})), 422, "invalid-fields").await;
        assert_eq!(told["index"], 13);
        assert!(told["fields"][format!("jobs[13].{field}")].is_string(), "{told}");
    }
    let mut named = job();
    named["id"] = json!("twice");
    let told = refused(post(&api, BULK, &json!({"jobs": [job(), named, named]})), 422, "invalid-fields").await;
    assert_eq!(told["index"], 2);
    for wrong in
        [json!([job()]), json!({"jobs": [job(), [1]]}), json!({"jobs": job()}), json!({"jobs": [{"kind": "a"}]})]
    {
        refused(post(&api, BULK, &wrong), 400, "unexpected-json").await;
    }
    let mut unknown = job();
    unknown["colour"] = json!("red");
    refused(post(&api, BULK, &json!({"jobs": [job(), unknown]})), 400, "unexpected-json").await;
    assert_eq!(counts(&api).await, json!({}));
}

#[tokio::test]
pub(crate) async fn existing_jobs_are_reported() {
    let api = start().await;
    let holder = enqueue(&api, &json!({"kind": "test", "payload": 1, "unique_key": "k", "id": "holder"})).await;
    let named = json!({"kind": "test", "payload": 1, "id": "named"});
    let keyed = json!({"kind": "test", "payload": 2, "unique_key": "k"});
    // On a queue of one partition jobs of several keys lie together.
    let answer = success_json(post(&api, BULK, &json!({"jobs": [job(), keyed, named]}))).await;
    assert_eq!(answer["duplicates"], json!([{"index": 1, "held_by": holder}]));
    assert_eq!((&answer["ids"][1], &answer["ids"][2], &answer["known"]), (&json!(holder), &json!("named"), &json!([])));
    let again = success_json(post(&api, BULK, &json!({"jobs": [named]}))).await;
    assert_eq!((&again["ids"], &again["known"]), (&json!(["named"]), &json!([0])));
    assert_eq!(counts(&api).await, json!({"ready": 3}));
}

#[tokio::test]
pub(crate) async fn on_several_partitions_a_bulk_lies_in_one() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none"), ("TIDEGATE_QUEUE_PARTITIONS", "4")]).await;
    let jobs: Vec<_> = (0..20).map(|_| job()).collect();
    let bulk = |jobs: Vec<Value>| post(&api, BULK, &json!({"jobs": jobs}));
    let answer = success_json(bulk(jobs.clone())).await;
    let ids: Vec<_> = answer["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    let routes: HashSet<_> = ids.iter().map(|id| id.rsplit_once('~').map(|(_, route)| route)).collect();
    assert_eq!((ids.len(), routes.len()), (20, 1), "{ids:?}");

    let with_key = |jobs: Vec<Value>| bulk(jobs).header("idempotency-key", "k");
    let first = success_json(with_key(jobs.clone())).await;
    assert_eq!(success_json(with_key(jobs.clone())).await, first);
    refused(with_key(jobs[1..].to_vec()), 422, "idempotency-key-reused").await;

    let ordered = |key: &str| json!({"kind": "test", "payload": 1, "ordering_key": key});
    let together = vec![ordered("a"), job(), ordered("a")];
    if is_shared() {
        refused(bulk(vec![ordered("a"), ordered("b")]), 422, "different-partitions").await;
        refused(
            bulk(vec![ordered("a"), json!({"kind": "test", "payload": 1, "id": "x"})]),
            422,
            "different-partitions",
        )
        .await;
    }
    assert_eq!(counts(&api).await, json!({"ready": 40}));
    success_json(bulk(together)).await;
    assert_eq!(counts(&api).await, json!({"ready": 42, "waiting": 1}));
}
