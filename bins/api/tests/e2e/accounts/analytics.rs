//! What a tenant did, by day.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, csv, problem, schedule, success_json};

/// Returns the sums of the days from `from` on.
async fn done(api: &Api, tenant: &str, from: &str) -> Value {
    let told = success_json(api.get_as(tenant, &format!("/api/analytics?from={from}"))).await;
    let items = told["items"].as_array().expect("items");
    let sum = |name: &str| items.iter().map(|day| day[name].as_u64().expect(name)).sum::<u64>();
    json!([sum("created"), sum("updated"), sum("imported"), sum("reminders_sent")])
}

#[tokio::test]
async fn what_was_done_is_counted_at_once_and_a_roll_changes_no_figure() {
    let api = Api::start().await;
    for tenant in ["acme", "other"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    let usual = success_json(api.get_as("acme", "/api/analytics")).await;
    assert_eq!(usual["items"].as_array().map(Vec::len), Some(30), "{usual}");
    let today = usual["to"].as_str().expect("a day").to_owned();
    let empty = json!({"day": today, "created": 0, "updated": 0, "imported": 0, "reminders_sent": 0, "views": 0});
    assert_eq!(usual["items"][29], empty);

    let create = |tenant: &'static str| {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", tenant);
        success_json(request.json(&schedule("one")))
    };
    let mut last = Value::Null;
    for _ in 0..3 {
        last = create("acme").await;
    }
    create("other").await;
    let path = format!("/api/schedules/{}", last["id"].as_str().expect("an id"));
    let put = || api.request(Method::PUT, &path).json(&schedule("two"));
    success_json(put().header("x-tenant-id", "acme")).await;
    problem(put().header("x-tenant-id", "other").send().await.unwrap(), 404, "not-found").await;
    let import = api.import_csv("acme", csv(1_200, &[3])).await;
    api.job_in_state(&import, "done").await;
    assert_eq!(done(&api, "acme", &today).await, json!([3, 1, 1_199, 0]));

    let roll = api.request(Method::POST, "/api/queue/analytics/jobs").json(&json!({"payload": {}}));
    let id = success_json(roll).await["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/queue/analytics/jobs/{id}");
    let rolled = poll_until(DEADLINE, async || {
        // Read all the time, also in the midst of it.
        assert_eq!(done(&api, "acme", &today).await, json!([3, 1, 1_199, 0]));
        let job = api.json(&path).await;
        (job["state"] == "done").then_some(job)
    });
    let rolled = rolled.await.expect("it is rolled");
    // One row for each of four created and one replaced schedule, and three for the chunks. There
    // are fewer if the usual roll came between.
    assert!(rolled["result"]["rolled"].as_u64().is_some_and(|rolled| rolled <= 8), "{rolled}");
    create("acme").await;
    assert_eq!(done(&api, "acme", &today).await, json!([4, 1, 1_199, 0]));
    assert_eq!(done(&api, "other", &today).await, json!([1, 0, 0, 0]));
    for bad in ["from=2030-02-01&to=2030-01-01", "to=tomorrow", "from=2020-01-01&to=2030-01-01"] {
        let answer = api.get_as("acme", &format!("/api/analytics?{bad}")).send().await.unwrap();
        problem(answer, 422, "bad-span").await;
    }
}

#[tokio::test]
async fn views_of_a_schedule_are_counted_once_also_when_the_process_is_killed() {
    let mut api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    let made = success_json(request.json(&schedule("one"))).await;
    let path = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
    let views = async |api: &Api| {
        let told = success_json(api.get_as("acme", "/api/analytics")).await;
        let items = told["items"].as_array().expect("items");
        items.iter().map(|day| day["views"].as_u64().expect("a count")).sum::<u64>()
    };
    for _ in 0..5 {
        success_json(api.get_as("acme", &path)).await;
    }
    success_json(api.get_as("acme", "/api/schedules")).await;
    api.request(Method::HEAD, &path).header("x-tenant-id", "acme").send().await.unwrap().error_for_status().unwrap();
    let nowhere = "/api/schedules/00000000-0000-7000-8000-000000000000";
    problem(api.get_as("acme", nowhere).send().await.unwrap(), 404, "not-found").await;
    poll_until(DEADLINE, async || (views(&api).await >= 5).then_some(())).await.expect("they are written");

    api.kill_and_restart().await;
    success_json(api.get_as("acme", &path)).await;
    poll_until(DEADLINE, async || (views(&api).await >= 6).then_some(())).await.expect("they are written");
    // What is written at the end of the process is all that there is.
    api.process.stop().await.expect("it ends");
    api.restart().await;
    assert_eq!(views(&api).await, 6, "neither pages nor HEAD nor what is not there are views, and none counts twice");
}
