//! A schedule that is asked for again with the same `Idempotency-Key`.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Api, header, problem, schedule, success_json};

const PATH: &str = "/api/schedules";

fn post(api: &Api, tenant: &str, key: &str, body: &Value) -> RequestBuilder {
    api.request(Method::POST, PATH).header("x-tenant-id", tenant).header("idempotency-key", key).json(body)
}

/// Returns the created object, and whether it existed before.
async fn made(request: RequestBuilder) -> (Value, bool) {
    let answer = request.send().await.expect("an answer");
    let (replayed, location) = (header(&answer, "idempotent-replayed"), header(&answer, "location"));
    assert_eq!(answer.status(), 201);
    let schedule: Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("{PATH}/{}", schedule["id"].as_str().expect("an id")));
    (schedule, replayed == "true")
}

async fn titles(api: &Api, tenant: &str) -> Vec<Value> {
    let page = success_json(api.get_as(tenant, PATH)).await;
    page["items"].as_array().expect("items").iter().map(|item| item["title"].clone()).collect()
}

#[tokio::test]
async fn a_schedule_is_made_once_however_often_it_is_asked_for() {
    let api = Api::start().await;
    for tenant in ["acme", "other"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    let wanted = schedule("Stand-up");
    let (first, replayed) = made(post(&api, "acme", "order-7", &wanted)).await;
    assert!(!replayed);
    for key in ["order-7", "\"order-7\""] {
        assert_eq!(made(post(&api, "acme", key, &wanted)).await, (first.clone(), true));
    }
    let another = post(&api, "acme", "order-7", &schedule("Retrospective")).send().await.expect("an answer");
    problem(another, 422, "idempotency-key-reused").await;
    for bad in [&*"x".repeat(256), "a\"b", ""] {
        let refused = post(&api, "acme", bad, &wanted).send().await.expect("an answer");
        problem(refused, 400, "bad-idempotency-key").await;
    }
    let (of_other, replayed) = made(post(&api, "other", "order-7", &wanted)).await;
    assert!(!replayed && of_other["id"] != first["id"], "a key is its tenant's alone");
    assert_eq!(titles(&api, "acme").await, ["Stand-up"]);

    let path = format!("{PATH}/{}", first["id"].as_str().expect("an id"));
    let of_acme = |method| api.request(method, &path).header("x-tenant-id", "acme");
    let changed = success_json(of_acme(Method::PUT).json(&schedule("Moved"))).await;
    assert_eq!(made(post(&api, "acme", "order-7", &wanted)).await, (changed, true), "as it is now");
    assert_eq!(of_acme(Method::DELETE).send().await.expect("an answer").status(), 204);
    let (again, replayed) = made(post(&api, "acme", "order-7", &wanted)).await;
    assert!(!replayed && again["id"] != first["id"]);
}

#[tokio::test]
async fn of_twenty_at_once_on_two_instances_one_schedule_is_made() {
    let one = Api::start().await;
    one.create_tenant("acme", "enterprise").await;
    let other = one.start_beside(&[]).await;
    let body = json!({"title": "One", "starts_at": "2030-01-07T09:00:00.0009Z", "ends_at": "2030-01-07T09:15:00Z"});
    let asked = (0..20).map(|number| made(post(if number % 2 == 0 { &one } else { &other }, "acme", "one", &body)));
    let made = join_all(asked).await;
    assert!(made.iter().all(|(schedule, _)| *schedule == made[0].0), "{made:?}");
    assert_eq!(made.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert_eq!(titles(&other, "acme").await, ["One"]);
}
