//! What an import may cost: bad lines, places, and the time until a wrong header is refused.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::{Body, Method, StatusCode};
use serde_json::json;
use tidegate_testkit::poll_until;

use super::{files_in, job_id, rejects_file, upload};
use crate::harness::{Api, DEADLINE, csv, good_titles, problem, success_json};

#[tokio::test]
async fn an_import_of_bad_lines_is_stopped_and_its_tenant_sees_the_reason() {
    let settings = [("TIDEGATE_IMPORT", "max_rejects=100, chunk=10")];
    let api = Api::start_with(&settings).await;
    api.create_tenant("acme", "premium").await;
    let answer = upload(&api, "acme", "application/x-ndjson", "x\n".repeat(50_000)).await;
    let id = job_id(answer).await;

    let job = api.job_in_state(&id, "dead").await;
    let path = format!("/api/schedules/import/{id}");
    let seen_by_tenant = json!({
        "id": id,
        "state": "dead",
        "progress": job["progress"],
        "created_at": job["created_at"],
        "finished_at": job["finished_at"],
        "result": null,
        "reason": {
            "kind": "too-many-rejects",
            "detail": "more lines are bad than an import may have; until then 0 imported, 110 rejected",
        },
    });
    assert_eq!(success_json(api.get_as("acme", &path)).await, seen_by_tenant);
    assert_eq!(job["progress"]["message"], "0 imported, 110 rejected");
    assert_eq!(rejects_file(&api, "acme", &id).await.len(), 110);
    assert_eq!(files_in(&api.scratch.join("spool")), 0, "no further run would read it");
}

#[tokio::test]
async fn a_tenant_has_so_many_imports_at_a_time_and_others_are_not_concerned() {
    let settings = [("TIDEGATE_IMPORT", "max_pending=2"), ("TIDEGATE_WORKER", "none")];
    let api = Api::start_with(&settings).await;
    api.create_tenant("acme", "premium").await;
    api.create_tenant("globex", "premium").await;
    let first = api.import_csv("acme", csv(3, &[])).await;
    api.import_csv("acme", csv(3, &[])).await;

    let refused = problem(upload(&api, "acme", "text/csv", csv(3, &[])).await, 429, "too-many-imports").await;
    assert_eq!(refused["detail"], "2 imports are already in progress; wait for one to end");
    assert_eq!(files_in(&api.scratch.join("spool")), 2);
    api.import_csv("globex", csv(3, &[])).await;

    let cancel = api.request(Method::DELETE, &format!("/api/queue/import/jobs/{first}"));
    assert!(cancel.send().await.expect("an answer").status().is_success());
    api.import_csv("acme", csv(3, &[])).await;
    problem(upload(&api, "acme", "text/csv", csv(3, &[])).await, 429, "too-many-imports").await;
}

#[tokio::test]
async fn a_refused_or_broken_off_upload_gives_its_place_back() {
    let api = Api::start_with(&[("TIDEGATE_IMPORT", "max_pending=1")]).await;
    api.create_tenant("acme", "premium").await;
    problem(upload(&api, "acme", "text/csv", "title\n").await, 422, "bad-header").await;
    problem(upload(&api, "acme", "text/csv", "").await, 422, "bad-header").await;

    // Its sender goes away before the end.
    let body = stream::iter([Ok::<_, Infallible>(csv(3, &[]))]).chain(stream::pending());
    let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let broken = request.header("content-type", "text/csv").body(Body::wrap_stream(body)).send();
    assert!(tokio::time::timeout(Duration::from_millis(300), broken).await.is_err());

    let next = poll_until(DEADLINE, async || {
        let answer = upload(&api, "acme", "text/csv", csv(5, &[])).await;
        (answer.status() == StatusCode::ACCEPTED).then_some(answer)
    });
    let id = job_id(next.await.expect("the place comes back")).await;
    api.job_in_state(&id, "done").await;
    assert_eq!(api.titles("acme").await, good_titles(5, &[]));
}

#[tokio::test]
async fn a_wrong_header_is_refused_while_the_rest_is_still_to_come() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=1h")]).await;
    api.create_tenant("acme", "premium").await;
    let body = stream::iter([Ok::<_, Infallible>("title,colour\n")]).chain(stream::pending());
    let answer = tokio::time::timeout(DEADLINE, upload(&api, "acme", "text/csv", Body::wrap_stream(body))).await;
    let refused = problem(answer.expect("no wait for the rest"), 422, "bad-header").await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("colour")), "{refused}");
    assert_eq!(files_in(&api.scratch.join("spool")), 0);
}

#[tokio::test]
async fn an_upload_that_goes_on_for_too_long_is_ended() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "upload=1s")]).await;
    api.create_tenant("acme", "premium").await;
    let body = stream::iter([Ok::<_, Infallible>(csv(1, &[]))]).chain(stream::pending());
    let answer = upload(&api, "acme", "text/csv", Body::wrap_stream(body)).await;
    problem(answer, 408, "too-slow").await;
    assert_eq!(files_in(&api.scratch.join("spool")), 0);
}
