//! Three APIs and four workers on one Redis. [`again`](crate::again) runs it: without Redis each
//! process has its own limits.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tidegate_testkit::Process;

use crate::harness::{Api, csv, good_titles, success_json};

/// Without a worker inside, so that the jobs are those of the four.
/// However long a busy machine takes to answer.
const API_ALONE: &[(&str, &str)] = &[
    ("TIDEGATE_WORKER", "none"),
    ("TIDEGATE_LIMIT_DDOS", "1000000/second"),
    ("TIDEGATE_REDIS_TIMEOUTS", "request=10s"),
];
const LINES: usize = 1_500;

async fn three_apis() -> [Api; 3] {
    let first = Api::start_with(API_ALONE).await;
    let (second, third) = tokio::join!(first.start_beside(API_ALONE), first.start_beside(API_ALONE));
    [first, second, third]
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn three_apis_and_four_workers_do_ten_imports_between_them() {
    let apis = three_apis().await;
    let settings =
        [("TIDEGATE_QUEUE_CONCURRENCY", "import=1"), ("TIDEGATE_IMPORT", "pause=30ms"), ("TIDEGATE_QUEUE_LEASE", "5s")];
    let mut workers: Vec<Process> =
        (0..4).map(|_| apis[0].worker(&settings).start().expect("the worker starts")).collect();
    let mut imports = Vec::new();
    for number in 0..10 {
        let (api, tenant) = (&apis[number % 3], format!("tenant-{number}"));
        api.create_tenant(&tenant, "enterprise").await;
        let bad = [number + 1, LINES];
        let id = api.import_csv(&tenant, csv(LINES, &bad)).await;
        imports.push((id, tenant, bad));
    }
    // One of them dies in the midst of it.
    apis[0].job_when(&imports[0].0, |job| job["progress"].is_object()).await;
    workers[3].kill9().expect("it runs");

    for (number, (id, tenant, bad)) in imports.iter().enumerate() {
        // Each seen by an API that did not take it.
        let api = &apis[(number + 1) % 3];
        let job = api.job_in_state(id, "done").await;
        assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(LINES - 2), &json!(2)), "{job}");
        assert_eq!(api.titles(tenant).await, good_titles(LINES, bad));
    }
    let queues = join_all(apis.iter().map(|api| api.json("/api/queue/import"))).await;
    for queue in &queues {
        for (state, count) in [("done", 10), ("ready", 0), ("leased", 0), ("dead", 0), ("completed_total", 10)] {
            assert_eq!(queue[state], count, "{state}: {queue}");
        }
        assert!(queue["workers"].as_array().is_some_and(|workers| workers.len() >= 3), "{queue}");
    }
    for worker in &mut workers[..3] {
        assert_eq!(worker.stop().await.expect("it ends").code(), Some(0));
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn of_two_hundred_at_once_over_three_apis_exactly_sixty_pass() {
    let apis = three_apis().await;
    apis[0].create_tenant("small", "free").await;
    let requests = (0..200).map(|number| apis[number % 3].get_as("small", "/api/schedules").send());
    let answers = join_all(requests).await;
    let answers: Vec<u16> = answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()).collect();
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(200), count(429)), (60, 140), "{answers:?}");
    // Every window that began earlier contains this minute: an hour may begin meanwhile, the sixty
    // stay.
    for api in &apis {
        let usage = api.json("/api/rate-limit/tenants/small").await;
        assert_eq!(usage["windows"][0]["used"], 60, "{usage}");
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn a_plan_and_a_block_in_one_api_bind_in_the_others_at_once() {
    let apis = three_apis().await;
    apis[0].create_tenant("small", "free").await;
    let list =
        async |api: &Api| api.get_as("small", "/api/schedules").send().await.expect("an answer").status().as_u16();
    let change = async |api: &Api, path: &str, body| success_json(api.request(Method::POST, path).json(&body)).await;
    for number in 0..60 {
        assert_eq!(list(&apis[number % 3]).await, 200);
    }
    for api in &apis {
        assert_eq!(list(api).await, 429);
    }
    let mut epoch = 0;
    for (turn, (tier, users, limit)) in
        [("premium", 7, 300), ("basic", 3, 120), ("enterprise", 9, 1_000)].into_iter().enumerate()
    {
        let body = json!({"tenant_id": "small", "tier": tier, "limits": {"users": users}});
        let changed = change(&apis[turn], "/api/rate-limit", body).await;
        assert!(changed["epoch"].as_u64() > Some(epoch), "{changed}");
        epoch = changed["epoch"].as_u64().expect("a number");
        for api in &apis {
            assert_eq!(list(api).await, 200, "{tier}");
        }
        for api in &apis {
            let usage = api.json("/api/rate-limit/tenants/small").await;
            assert_eq!((&usage["tier"], &usage["epoch"]), (&json!(tier), &json!(epoch)), "{usage}");
            assert_eq!(usage["limits"], json!({"max_users": users}), "{usage}");
            assert_eq!(usage["seats"], json!({"used": 0, "allowed": users}), "{usage}");
            assert_eq!(
                (&usage["windows"][0]["limit"], &usage["blocked_for_ms"]),
                (&json!(limit), &json!(null)),
                "{usage}"
            );
            assert_eq!(usage["windows"][0]["used"], 60 + 3 * (turn + 1), "carried over: {usage}");
        }
    }
    let block = json!({"limiter": "tenant", "key": "small", "seconds": 600});
    change(&apis[1], "/api/rate-limit/block", block).await;
    for api in &apis {
        assert_eq!(list(api).await, 429);
        let usage = api.json("/api/rate-limit/tenants/small").await;
        assert!(usage["blocked_for_ms"].as_u64().is_some_and(|left| 500_000 < left && left <= 600_000), "{usage}");
    }
    let unblock = apis[2].request(Method::DELETE, "/api/rate-limit/block?limiter=tenant&key=small");
    assert_eq!(success_json(unblock).await, json!({"unblocked": true}));
    assert_eq!(list(&apis[0]).await, 200);
}
