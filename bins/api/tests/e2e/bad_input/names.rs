//! Methods, paths, tenants, queues, jobs, cursors: names of what is not there.

use reqwest::Method;
use serde_json::json;

use super::{IMPORT, Target, problem_of_any_kind, refused, send};
use crate::harness::{header, problem, schedule, success_json};

#[tokio::test]
async fn wrong_methods_and_unknown_paths() {
    let target = Target::start().await;
    let wrong = [
        (Method::PATCH, "/api/schedules"),
        (Method::DELETE, "/api/schedules"),
        (Method::POST, "/api/schedules/00000000-0000-7000-8000-000000000000"),
        (Method::PUT, "/api/tenants"),
        (Method::DELETE, "/api/tenants"),
        (Method::DELETE, "/api/tenants/acme"),
        (Method::GET, IMPORT),
        (Method::PUT, "/api/cache"),
        (Method::GET, "/api/queue/import/pause"),
        (Method::OPTIONS, "/api/queue"),
        (Method::TRACE, "/api/queue"),
        (Method::POST, "/livez"),
        (Method::DELETE, "/metrics"),
    ];
    for (method, path) in wrong {
        let answer = send(target.request(method.clone(), path)).await;
        assert!(!header(&answer, "allow").is_empty(), "{method} {path}: {:?}", answer.headers());
        problem(answer, 405, "method-not-allowed").await;
    }
    for path in [
        "/nowhere",
        "/api",
        "/api/",
        "/api/schedules/",
        "/api//schedules",
        "/API/schedules",
        "/favicon.ico",
        "/api/../etc",
    ] {
        refused(target.get(path), 404, "not-found").await;
        refused(target.post(path).body("x"), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn huge_names() {
    let target = Target::start().await;
    let huge = "x".repeat(60_000);
    let paths =
        ["/api/schedules/", "/api/tenants/", "/api/queue/", "/api/queue/import/jobs/", "/api/schedules/import/"];
    for path in paths.into_iter().chain(["/api/rate-limit/tenants/", "/nowhere/"]) {
        refused(target.get(&format!("{path}{huge}")), 404, "not-found").await;
    }
    for query in ["/api/schedules?cursor=", "/api/queue/import/jobs?cursor=", "/api/queue/import/jobs?state="] {
        let answer = send(target.get(&format!("{query}{huge}"))).await;
        assert_eq!(answer.status(), 422, "{query}");
        assert!(problem_of_any_kind(answer).await.to_string().len() < 8_000, "{query}");
    }
    refused(target.get(&format!("/api/schedules?{huge}=1")), 400, "bad-query").await;
    let unknown_limiter = format!("/api/rate-limit?key=acme&limiter={huge}");
    refused(target.request(Method::DELETE, &unknown_limiter), 404, "not-found").await;

    refused(target.post("/api/tenants").json(&json!({"id": huge, "name": "New"})), 422, "bad-tenant-id").await;
    refused(target.post("/api/tenants").json(&json!({"id": "new", "name": huge})), 422, "bad-name").await;
    refused(target.post("/api/tenants").json(&json!({"id": "new", "name": "New", "tier": huge})), 422, "bad-tier")
        .await;
    refused(target.post("/api/rate-limit").json(&json!({"tenant_id": huge, "tier": "free"})), 404, "not-found").await;
    refused(target.post("/api/tenants").json(&json!({&huge: 1})), 400, "unexpected-json").await;
    refused(target.post("/api/schedules").json(&schedule(&huge)), 422, "invalid-fields").await;
    let mut crowd = schedule("crowd");
    crowd["attendees"] = json!(vec![&huge; 10]);
    refused(target.post("/api/schedules").json(&crowd), 422, "invalid-fields").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn unknown_tenants_and_keys() {
    let target = Target::start().await;
    let api = &target.api;
    let mut unknown = vec!["nobody", "ACME", "acme ", "*", "acme*", "../acme", "a:b", "-", "%61cme"];
    let long = "x".repeat(1_000);
    unknown.push(&long);
    for tenant in unknown {
        // A client may send spaces around a value, and they mean nothing.
        if tenant.trim() == "acme" {
            continue;
        }
        refused(api.get_as(tenant, "/api/schedules"), 404, "unknown-tenant").await;
    }
    let not_text = api.request(Method::GET, "/api/schedules").header("x-tenant-id", b"\xff\xfe".as_slice());
    refused(not_text, 404, "unknown-tenant").await;
    refused(api.request(Method::GET, "/api/schedules"), 401, "unauthorized").await;
    for key in ["tk_", "tk_0000", "tk_*", "TK_x", "x"] {
        refused(api.request(Method::GET, "/api/schedules").bearer_auth(key), 401, "unauthorized").await;
    }
    for scheme in ["Basic dGs6dGs=", "Bearer", "Bearer ", "tk_x"] {
        let request = api.request(Method::GET, "/api/schedules").header("authorization", scheme);
        refused(request, 401, "unauthorized").await;
    }
    refused(api.request(Method::GET, "/api/tenants/nobody"), 404, "not-found").await;
    refused(api.request(Method::GET, "/api/rate-limit/tenants/nobody"), 404, "not-found").await;
    let plan = json!({"tenant_id": "nobody", "tier": "free"});
    refused(api.request(Method::POST, "/api/rate-limit").json(&plan), 404, "not-found").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn unknown_queues_and_jobs() {
    let target = Target::start().await;
    for queue in ["nothing", "IMPORT", "*", "import*", "import:", "..%2f"] {
        let body = refused(target.get(&format!("/api/queue/{queue}")), 404, "not-found").await;
        assert!(body["detail"].as_str().unwrap().contains("import"), "it names those that are: {body}");
        refused(target.get(&format!("/api/queue/{queue}/jobs")), 404, "not-found").await;
        refused(target.post(&format!("/api/queue/{queue}/pause")), 404, "not-found").await;
        refused(target.post(&format!("/api/queue/{queue}/resume")), 404, "not-found").await;
        refused(target.get(&format!("/api/queue/{queue}/jobs/1")), 404, "not-found").await;
    }
    for job in ["1", "00000000000070008000000000000000", "*", "a%20b", "%00", "'%3B--"] {
        let path = format!("/api/queue/import/jobs/{job}");
        refused(target.get(&path), 404, "not-found").await;
        refused(target.request(Method::DELETE, &path), 404, "not-found").await;
        refused(target.post(&format!("{path}/retry")), 404, "not-found").await;
        refused(target.get(&format!("{IMPORT}/{job}")), 404, "not-found").await;
        refused(target.get(&format!("{IMPORT}/{job}/rejects")), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn bad_cursors_and_limits() {
    let target = Target::start().await;
    for cursor in ["x", "-1", "0", "%00", "7fffffffffffffff", &"g".repeat(48), &"f".repeat(47), "1.2.3", "%F0%9F%8C%8A"]
    {
        let body = refused(target.get(&format!("/api/schedules?cursor={cursor}")), 422, "bad-cursor").await;
        assert!(body["detail"].as_str().unwrap().contains("cursor"), "{body}");
    }
    for cursor in ["x", "1.2", "1.2.3.4", "99999999999999999999.1.1"] {
        refused(target.get(&format!("/api/queue/import/jobs?cursor={cursor}")), 422, "bad-query").await;
    }
    for limit in ["0", "201", "4294967296"] {
        refused(target.get(&format!("/api/schedules?limit={limit}")), 422, "bad-limit").await;
        refused(target.get(&format!("/api/queue/import/jobs?limit={limit}")), 422, "bad-query").await;
        refused(target.get(&format!("/api/performance?limit={limit}")), 422, "bad-limit").await;
    }
    for query in
        ["limit=-1", "limit=", "limit=ten", "limit=1.5", "limit=99999999999999999999999", "limit=1&limit=2", "page=2"]
    {
        for path in ["/api/schedules", "/api/queue/import/jobs", "/api/performance"] {
            refused(target.get(&format!("{path}?{query}")), 400, "bad-query").await;
        }
    }
    refused(target.get("/api/queue/import/jobs?state=tired"), 422, "bad-query").await;
    refused(target.get("/api/performance?type=gossip"), 422, "bad-type").await;
    for query in ["", "limiter=api", "key=x", "limiter=api&key=x&more=1"] {
        refused(target.request(Method::DELETE, &format!("/api/rate-limit?{query}")), 400, "bad-query").await;
    }
    // A valid cursor, but there is nothing after it.
    let end = format!("/api/schedules?cursor={}", "f".repeat(48));
    assert_eq!(success_json(target.get(&end)).await, json!({"items": [], "next_cursor": null}));
    target.is_unharmed().await;
}
