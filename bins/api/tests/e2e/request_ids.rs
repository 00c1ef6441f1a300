//! The id of a request leads to its line in the log and to its entry among the slow calls.

use reqwest::Method;
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, csv, header, problem, schedule, success_json};
use crate::stuck::Stuck;

#[tokio::test]
async fn a_failure_is_logged_once_under_the_request_id_of_the_client() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    // A file is in the place of the directory of uploads.
    std::fs::remove_dir_all(api.scratch.join("spool")).unwrap();
    std::fs::write(api.scratch.join("spool"), "").unwrap();
    let request = api.request(Method::POST, "/api/schedules/import?note=hunter2").header("x-tenant-id", "acme");
    let request = request.header("content-type", "text/csv").header("x-request-id", "from-before_us.7");
    let body = problem(request.body(csv(1, &[])).send().await.unwrap(), 500, "internal").await;
    assert_eq!(body["request_id"], "from-before_us.7");

    let told = || -> Vec<String> {
        let lines = api.process.log().lines().into_iter().map(|line| line.text);
        lines.filter(|line| line.contains("from-before_us.7")).collect()
    };
    poll_until(DEADLINE, async || (!told().is_empty()).then_some(())).await.expect("the log has the cause");
    // What comes later in the log than the next request's failure would have come by then.
    let next = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let next = next.header("content-type", "text/csv").body(csv(1, &[])).send().await.unwrap();
    let id = header(&next, "x-request-id");
    let is_told = || api.process.log().find(|line| line.contains(&id)).is_some();
    poll_until(DEADLINE, async || is_told().then_some(())).await.expect("each failure has its line");
    let told = told();
    // The access log has a line for each failure too, without a cause.
    let (accessed, told): (Vec<_>, Vec<_>) = told.into_iter().partition(|line| line.contains("tidegate::access"));
    assert_eq!((accessed.len(), told.len()), (1, 1), "{accessed:?} {told:?}");
    for part in ["ERROR", "POST", "/api/schedules/import", "cause", "request failed"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert!(!told[0].contains("hunter2"), "{told:?}");
}

#[tokio::test]
async fn a_slow_call_bears_the_id_that_the_client_got_and_never_what_it_made_up() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=600ms")]).await;
    api.create_tenant("acme", "enterprise").await;
    let _stuck = Stuck::beside(&api).await;
    for sent in ["good-one", "<b>bad one</b>"] {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let request = request.header("x-request-id", sent).json(&schedule("slow"));
        let answer = request.send().await.unwrap();
        assert_eq!(header(&answer, "retry-after"), "5");
        let body = problem(answer, 503, "timeout").await;
        assert!(
            body["detail"].as_str().unwrap().contains("it may have made changes"),
            "a write may have been made: {body}"
        );
        assert_eq!(body["request_id"] == sent, sent == "good-one", "{body}");

        let slow = success_json(api.request(Method::GET, "/api/performance?type=slow-apis")).await;
        assert_eq!(slow["items"][0]["request_id"], body["request_id"], "{slow}");
    }
}
