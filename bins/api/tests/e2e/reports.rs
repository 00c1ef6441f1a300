//! Reports: a page and a table of one span. They are complete, belong to their tenant, and run
//! nothing.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, csv, problem, success_json};

async fn ask(api: &Api, tenant: &str, body: &Value) -> Response {
    let request = api.request(Method::POST, "/api/reports").header("x-tenant-id", tenant).json(body);
    request.send().await.expect("an answer")
}

/// Waits for a new report, and returns its location and its result.
async fn reported(api: &Api, tenant: &str, body: &Value) -> (String, Value) {
    let answer = ask(api, tenant, body).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.expect("a body"));
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let done = poll_until(DEADLINE, async || {
        let report = success_json(api.get_as(tenant, &location)).await;
        (report["state"] == "done").then(|| report["result"].clone())
    });
    let result = done.await.expect("the report ends");
    (location, result)
}

/// Downloads a file of a result, and checks its headers.
async fn fetched(api: &Api, tenant: &str, told: &Value, content_type: &str) -> String {
    let location = told["location"].as_str().expect("a location");
    let answer = api.get_as(tenant, location).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), content_type);
    let name = told["name"].as_str().expect("a name");
    assert_eq!(header("content-disposition"), format!("attachment; filename=\"{name}\""));
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("sandbox;") && policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("allow-"), "{policy}");
    let content = answer.bytes().await.expect("the content");
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((told["bytes"].as_u64(), told["sha256"].as_str()), (Some(content.len() as u64), Some(&*digest)));
    assert!(told["expires_at"].is_string() && told["id"].is_string(), "{told}");
    String::from_utf8(content.to_vec()).expect("UTF-8")
}

/// On the edges of two days, by a clock that is two hours ahead in one case.
async fn fill(api: &Api, tenant: &str) {
    for (title, starts_at, ends_at, attendees) in [
        ("<script>alert(1)</script>", "2030-01-01T00:00:00Z", "2030-01-01T01:30:00Z", json!(["Ann", "=cmd()|x"])),
        ("Shift", "2030-01-02T01:59:59+02:00", "2030-01-02T02:29:59+02:00", json!(["Ann"])),
        ("Shift", "2030-01-02T00:00:00Z", "2030-01-02T00:15:00Z", json!([])),
        ("Shift", "2030-01-03T00:00:00Z", "2030-01-03T08:00:00Z", json!(["Bob"])),
    ] {
        let body = json!({"title": title, "starts_at": starts_at, "ends_at": ends_at, "attendees": attendees});
        success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", tenant).json(&body)).await;
    }
}

#[tokio::test]
pub(crate) async fn a_report_shows_a_tenant_its_own_data_and_runs_no_formula() {
    let api = Api::start_with(&[("TIDEGATE_REPORT", "max_pending=1")]).await;
    for tenant in ["acme", "other"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    fill(&api, "acme").await;

    let span = json!({"kind": "schedules", "from": "2030-01-01", "to": "2030-01-03T00:00:00Z"});
    let (shown, result) = reported(&api, "acme", &span).await;
    assert_eq!(result["html"]["name"], "report-schedules-20300101-20300103.html");
    let table = fetched(&api, "acme", &result["csv"], "text/csv; charset=utf-8").await;
    assert_eq!(
        table,
        "section,name,schedules,recurring,hours\n\
         total,total,3,0,2.25\n\
         day,2030-01-01,2,0,2.00\n\
         day,2030-01-02,1,0,0.25\n\
         attendee,Ann,2,0,2.00\n\
         attendee,'=cmd()|x,1,0,1.50\n\
         title,Shift,2,0,0.75\n\
         title,<script>alert(1)</script>,1,0,1.50\n"
    );
    let page = fetched(&api, "acme", &result["html"], "text/html; charset=utf-8").await;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"), "{page}");

    let files = ["html", "csv"].map(|form| result[form]["location"].as_str().expect("a location").to_owned());
    for path in files.iter().chain([&shown]) {
        problem(api.get_as("other", path).send().await.expect("an answer"), 404, "not-found").await;
    }
    let (_, foreign) = reported(&api, "other", &span).await;
    let table = fetched(&api, "other", &foreign["csv"], "text/csv; charset=utf-8").await;
    assert!(table.contains("total,total,0,0,0.00") && !table.contains("Shift"), "{table}");
    // A report is no export.
    let as_export = shown.replace("/api/reports/", "/api/schedules/export/");
    problem(api.get_as("acme", &as_export).send().await.expect("an answer"), 404, "not-found").await;

    let usual: Value = success_json(api.get_as("acme", "/api/analytics")).await;
    let today: chrono::NaiveDate = usual["to"].as_str().expect("a day").parse().expect("a day");
    let (from, to) = (today - chrono::TimeDelta::days(1), today + chrono::TimeDelta::days(2));
    let (_, usage) = reported(&api, "acme", &json!({"kind": "usage", "from": from, "to": to})).await;
    let table = fetched(&api, "acme", &usage["csv"], "text/csv; charset=utf-8").await;
    assert!(table.contains("total,total,4,0,0,0,0\n"), "{table}");
}

#[tokio::test]
pub(crate) async fn what_is_no_report_is_refused_and_places_are_few() {
    let api = Api::start_with(&[("TIDEGATE_REPORT", "max_pending=1"), ("TIDEGATE_WORKER", "none")]).await;
    api.create_tenant("acme", "enterprise").await;
    let good = json!({"kind": "schedules", "from": "2030-01-01", "to": "2030-02-01"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for body in [json!({}), json!([]), with("kind", json!("gossip")), with("tenant", json!("other"))] {
        problem(ask(&api, "acme", &body).await, 400, "unexpected-json").await;
    }
    for (field, value) in [
        ("from", "yesterday"),
        ("from", "2030-01-01T00:00:00"),
        ("to", "2030-02-30"),
        ("to", "2030-01-01"),
        ("to", "2029-12-31T23:59:59Z"),
        ("to", "2031-01-03"),
    ] {
        let refused = problem(ask(&api, "acme", &with(field, json!(value))).await, 422, "invalid-fields").await;
        let fields = refused["fields"].as_object().expect("fields");
        assert_eq!(fields.keys().collect::<Vec<_>>(), [field], "{refused}");
    }
    let within_day = json!({"kind": "usage", "from": "2030-01-01T12:00:00Z", "to": "2030-01-02"});
    let refused = problem(ask(&api, "acme", &within_day).await, 422, "invalid-fields").await;
    assert!(refused["fields"]["from"].is_string(), "{refused}");
    for id in ["1", "%00", "018f3c1e-7a4b-7c5d-8e9f-0123456789ab"] {
        let shown = api.get_as("acme", &format!("/api/reports/{id}")).send().await.expect("an answer");
        problem(shown, 404, "not-found").await;
    }

    assert_eq!(ask(&api, "acme", &good).await.status(), StatusCode::ACCEPTED);
    let refused = ask(&api, "acme", &good).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 429, "too-many-reports").await;
    let export = api.request(Method::POST, "/api/schedules/export").header("x-tenant-id", "acme");
    let export = export.json(&json!({"format": "csv"})).send().await.expect("an answer");
    assert_eq!(export.status(), StatusCode::ACCEPTED, "exports have places of their own");
}

#[tokio::test]
pub(crate) async fn a_tenant_asks_for_so_many_in_a_time() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_REPORT", "2/hour"), ("TIDEGATE_WORKER", "none")]).await;
    for tenant in ["acme", "other"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    let good = json!({"kind": "usage", "from": "2030-01-01", "to": "2030-02-01"});
    for _ in 0..2 {
        assert_eq!(ask(&api, "acme", &good).await.status(), StatusCode::ACCEPTED);
    }
    problem(ask(&api, "acme", &good).await, 429, "rate-limited").await;
    assert_eq!(ask(&api, "other", &good).await.status(), StatusCode::ACCEPTED, "another is not held up");
}

#[tokio::test]
pub(crate) async fn a_report_killed_on_its_way_is_made_again_and_is_one_pair() {
    let mut api = Api::start_with(&[("TIDEGATE_QUEUE_LEASE", "3s")]).await;
    api.create_tenant("acme", "enterprise").await;
    let import = api.import_csv("acme", csv(10_000, &[])).await;
    api.job_in_state(&import, "done").await;

    let asked = ask(&api, "acme", &json!({"kind": "schedules", "from": "2029-12-01", "to": "2030-12-01"})).await;
    let location = asked.headers()["location"].to_str().expect("text").to_owned();
    let begun = poll_until(DEADLINE, async || {
        let report = success_json(api.get_as("acme", &location)).await;
        (report["state"] != "ready").then_some(())
    });
    begun.await.expect("it begins");
    api.kill_and_restart().await;

    let done = poll_until(DEADLINE, async || {
        let report = success_json(api.get_as("acme", &location)).await;
        (report["state"] == "done").then(|| report["result"].clone())
    });
    let result = done.await.expect("it is made again");
    let table = fetched(&api, "acme", &result["csv"], "text/csv; charset=utf-8").await;
    assert!(table.contains("total,total,10000,"), "{table}");
    fetched(&api, "acme", &result["html"], "text/html; charset=utf-8").await;
    assert_ne!(result["csv"]["id"], result["html"]["id"]);
}
