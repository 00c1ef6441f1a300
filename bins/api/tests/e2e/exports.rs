//! Exports and files: what is fetched is whole, is its tenant's, and can be imported again.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, csv, good_titles, problem, success_json};

async fn ask(api: &Api, tenant: &str, body: &Value) -> Response {
    let request = api.request(Method::POST, "/api/schedules/export").header("x-tenant-id", tenant).json(body);
    request.send().await.expect("an answer")
}

/// Waits for a new export, and returns its description with the location of the file.
async fn exported(api: &Api, tenant: &str, format: &str) -> Value {
    let answer = ask(api, tenant, &json!({"format": format})).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let done = poll_until(DEADLINE, async || {
        let export = success_json(api.get_as(tenant, &location)).await;
        (export["state"] == "done").then(|| export["result"]["file"].clone())
    });
    done.await.expect("the export ends")
}

#[tokio::test]
pub(crate) async fn what_is_exported_is_fetched_by_its_tenant_alone_and_imported_as_it_was() {
    let api = Api::start_with(&[("TIDEGATE_EXPORT", "max_pending=1")]).await;
    for tenant in ["acme", "other", "again"] {
        api.create_tenant(tenant, "enterprise").await;
    }
    let dangerous = "=1+1,title with \"quotes\"";
    let import = api.import_csv("acme", csv(1_500, &[7])).await;
    api.job_in_state(&import, "done").await;
    let body = json!({"title": dangerous, "starts_at": "2030-01-01T09:00:00Z", "ends_at": "2030-01-01T10:00:00Z"});
    success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&body)).await;

    let mut expected = good_titles(1_500, &[7]);
    expected.push(dangerous.to_owned());
    expected.sort();
    let file = exported(&api, "acme", "csv").await;
    let location = file["location"].as_str().expect("a location");

    let answer = api.get_as("acme", location).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "text/csv; charset=utf-8");
    assert!(header("content-disposition").starts_with("attachment; filename=\"schedules-"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("sandbox"));
    assert_eq!(header("content-length"), file["bytes"].to_string());
    let etag = header("etag");
    let content = answer.bytes().await.expect("the content");
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((etag.trim_matches('"'), file["sha256"].as_str()), (&*digest, Some(&*digest)));
    let text = String::from_utf8(content.to_vec()).expect("UTF-8");
    assert!(text.lines().all(|line| !line.starts_with(['=', '+', '-', '@']) && !line.starts_with("\"=")), "run");

    let known = api.get_as("acme", location).header("if-none-match", &etag).send().await.expect("an answer");
    assert_eq!((known.status(), known.headers()["etag"].to_str().expect("text")), (StatusCode::NOT_MODIFIED, &*etag));
    for (tenant, path) in
        [("other", location), ("acme", "/api/files/..%2f..%2fqueue.db"), ("acme", "/api/files/00000000-0000")]
    {
        problem(api.get_as(tenant, path).send().await.expect("an answer"), 404, "not-found").await;
    }

    let import = api.import_csv("again", text).await;
    let job = api.job_in_state(&import, "done").await;
    assert_eq!(job["result"]["rejected"], 0, "{job}");
    assert_eq!(api.titles("again").await, expected);

    let ndjson = exported(&api, "acme", "ndjson").await;
    let answer = api.get_as("acme", ndjson["location"].as_str().expect("a location")).send().await.expect("an answer");
    let mut titles: Vec<String> = answer
        .text()
        .await
        .expect("the content")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["title"].as_str().expect("a title").to_owned())
        .collect();
    titles.sort();
    assert_eq!(titles, expected);
}

#[tokio::test]
pub(crate) async fn what_is_no_export_is_refused_and_places_are_few() {
    let api = Api::start_with(&[("TIDEGATE_EXPORT", "max_pending=1"), ("TIDEGATE_WORKER", "none")]).await;
    api.create_tenant("acme", "enterprise").await;
    for body in [json!({}), json!({"format": "xlsx"}), json!({"format": "csv", "tenant": "other"}), json!(["csv"])] {
        problem(ask(&api, "acme", &body).await, 400, "unexpected-json").await;
    }
    assert_eq!(ask(&api, "acme", &json!({"format": "csv"})).await.status(), StatusCode::ACCEPTED);
    problem(ask(&api, "acme", &json!({"format": "csv"})).await, 429, "too-many-exports").await;
}
