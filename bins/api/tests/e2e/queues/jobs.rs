//! Jobs that are there: lists, logs, and changes of one job.

use reqwest::Method;
use serde_json::json;

use super::{JOBS, counts, enqueue, ids, job, post, refused, send, start};
use crate::harness::{Api, success_json};

async fn change(api: &Api, method: Method, path: &str) -> u16 {
    send(api.request(method, path)).await.status().as_u16()
}

#[tokio::test]
pub(crate) async fn only_a_delayed_job_is_promoted() {
    let api = start().await;
    let ready = enqueue(&api, &job()).await;
    let mut delayed = job();
    delayed["delay_ms"] = json!(3_600_000);
    let delayed = enqueue(&api, &delayed).await;
    let promote = |id: &str| api.request(Method::POST, &format!("{JOBS}/{id}/promote"));

    let told = refused(promote(&ready), 409, "wrong-state").await;
    assert!(told["detail"].as_str().unwrap().contains("ready"), "{told}");
    assert_eq!(send(promote(&delayed)).await.status(), 204);
    assert_eq!(ids(&api, "ready").await.len(), 2);
    refused(promote(&delayed), 409, "wrong-state").await;

    assert_eq!(change(&api, Method::DELETE, &format!("{JOBS}/{ready}")).await, 204);
    refused(promote(&ready), 409, "wrong-state").await;
    assert_eq!(change(&api, Method::POST, &format!("{JOBS}/{ready}/retry")).await, 204, "retry takes a cancelled one");
    assert_eq!(counts(&api).await, json!({"ready": 2}));
}

#[tokio::test]
pub(crate) async fn a_cancel_that_is_sent_again_changes_nothing() {
    let api = start().await;
    let id = enqueue(&api, &job()).await;
    let path = format!("{JOBS}/{id}");
    for _ in 0..3 {
        let answer = send(api.request(Method::POST, &format!("{path}/cancel"))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<serde_json::Value>().await.expect("JSON"), json!({"id": id, "state": "cancelled"}));
        assert_eq!(api.json(&path).await["state"], "cancelled", "its record stays");
    }
    assert_eq!(change(&api, Method::POST, &format!("{path}/retry")).await, 204);
    assert_eq!(counts(&api).await, json!({"ready": 1}));
}

#[tokio::test]
pub(crate) async fn a_job_that_has_ended_is_deleted_by_id_or_with_others() {
    let api = start().await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(enqueue(&api, &job()).await);
    }
    let delete = |id: &str| api.request(Method::DELETE, &format!("{JOBS}/{id}"));
    // Cancelled first, then deleted.
    assert_eq!(send(delete(&all[0])).await.status(), 204);
    assert_eq!(api.json(&format!("{JOBS}/{}", all[0])).await["state"], "cancelled");
    assert_eq!(send(delete(&all[0])).await.status(), 204);
    refused(api.request(Method::GET, &format!("{JOBS}/{}", all[0])), 404, "not-found").await;
    refused(delete(&all[0]), 404, "not-found").await;

    let delete_all = |body: serde_json::Value| api.request(Method::DELETE, JOBS).json(&body);
    for id in &all[1..5] {
        assert_eq!(send(delete(id)).await.status(), 204);
    }
    let answer =
        success_json(delete_all(json!({"ids": [all[0], all[1], all[2], all[5], all[1], all[0], all[5]]}))).await;
    assert_eq!(answer["removed"], 2);
    assert_eq!(answer["missing"], json!([all[0]]));
    assert_eq!(answer["refused"], json!([{"id": all[5], "state": "ready"}]));
    assert_eq!(counts(&api).await, json!({"ready": 1, "cancelled": 2}));
    let answer = success_json(delete_all(json!({"state": "cancelled", "limit": 1}))).await;
    assert_eq!((&answer["removed"], &answer["more"]), (&json!(1), &json!(false)));
    assert_eq!(counts(&api).await, json!({"ready": 1, "cancelled": 1}));

    let many = vec!["a"; 501];
    for wrong in [
        json!({}),
        json!({"ids": []}),
        json!({"ids": many}),
        json!({"ids": ["a b"]}),
        json!({"ids": ["a"], "state": "done", "limit": 1}),
        json!({"state": "done"}),
        json!({"state": "done", "limit": 0}),
    ] {
        refused(delete_all(wrong), 422, "bad-selection").await;
    }
    refused(delete_all(json!({"state": "ready", "limit": 1})), 422, "bad-state").await;
}

#[tokio::test]
pub(crate) async fn the_pages_delete_a_job_that_has_ended() {
    let api = start().await;
    let (one, two) = (enqueue(&api, &job()).await, enqueue(&api, &job()).await);
    for id in [&one, &two] {
        assert_eq!(change(&api, Method::DELETE, &format!("{JOBS}/{id}")).await, 204);
    }
    let page = async |path: String| send(api.request(Method::GET, &path)).await.text().await.expect("a page");
    let shown = page(format!("/dashboard/queues/import/jobs/{one}")).await;
    assert!(shown.contains(&format!("jobs/{one}/remove")), "a button deletes it");
    let list = page("/dashboard/queues/import?state=cancelled".to_owned()).await;
    assert!(list.contains("Delete selected"), "a button deletes those that are ticked");
}

#[tokio::test]
pub(crate) async fn what_is_not_there_is_not_found() {
    let api = start().await;
    enqueue(&api, &job()).await;
    for id in ["nothing", "a%2Fb", "%2F", "..%2F..%2Fx", "a%00b", "%20", &"i".repeat(10_000), "ä"] {
        let path = format!("{JOBS}/{id}");
        refused(api.request(Method::GET, &path), 404, "not-found").await;
        refused(api.request(Method::DELETE, &path), 404, "not-found").await;
        refused(api.request(Method::GET, &format!("{path}/logs")), 404, "not-found").await;
        for what in ["retry", "promote", "cancel"] {
            refused(api.request(Method::POST, &format!("{path}/{what}")), 404, "not-found").await;
        }
    }
    refused(api.request(Method::GET, "/api/queue/batches/nothing"), 404, "not-found").await;
    refused(api.request(Method::GET, "/api/queue/batches/a%2Fb"), 404, "not-found").await;
    assert_eq!(counts(&api).await, json!({"ready": 1}));
}

#[tokio::test]
pub(crate) async fn a_job_without_a_log_has_an_empty_one() {
    let api = start().await;
    let id = enqueue(&api, &job()).await;
    assert_eq!(api.json(&format!("{JOBS}/{id}/logs")).await, json!({"items": [], "next_cursor": null}));
}

#[tokio::test]
pub(crate) async fn a_list_is_read_page_by_page() {
    let api = start().await;
    let jobs: Vec<_> = (0..25).map(|_| job()).collect();
    assert_eq!(send(post(&api, super::BULK, &json!({"jobs": jobs}))).await.status(), 201);
    let all = ids(&api, "ready").await;
    let (mut read, mut path) = (Vec::new(), format!("{JOBS}?limit=10"));
    loop {
        let page = api.json(&path).await;
        let items = page["items"].as_array().expect("items");
        read.extend(items.iter().map(|job| job["id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{JOBS}?limit=10&cursor={cursor}");
    }
    assert_eq!(read, all);
}
