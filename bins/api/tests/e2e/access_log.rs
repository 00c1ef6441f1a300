//! The access log: one line per request, with what was sent and never with its content.

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, header, schedule, success_json};

const SECRET: &str = "hunter2";
const FULL: (&str, &str) = ("TIDEGATE_HTTP_ACCESS_LOG", "full");

fn lines(api: &Api) -> Vec<String> {
    let all = api.process.log().lines().into_iter().map(|line| line.text);
    all.filter(|line| line.contains("tidegate::access")).collect()
}

/// Returns the line of the request with that id, once it is written.
async fn line_of(api: &Api, id: &str) -> String {
    let find = async || lines(api).into_iter().find(|line| line.contains(&format!("request_id=\"{id}\"")));
    poll_until(DEADLINE, find).await.expect("it has a line")
}

#[tokio::test]
async fn a_log_line_has_the_bytes_sent() {
    let api = Api::start_with(&[FULL]).await;
    api.create_tenant("acme", "enterprise").await;
    for number in 0..10 {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        success_json(request.json(&schedule(&format!("schedule {number}")))).await;
    }
    let request = api.get_as("acme", "/api/schedules?limit=50").header("accept-encoding", "br");
    let request = request.header("x-request-id", "the-page");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")).send().await.unwrap();
    assert_eq!(header(&answer, "content-encoding"), "br");
    let bytes = answer.bytes().await.unwrap().len();
    let line = line_of(&api, "the-page").await;
    let (sent, traced) = (format!(" bytes={bytes} "), format!("trace_id=\"{trace}\""));
    let parts =
        ["method=\"GET\"", "route=\"/api/schedules\"", "status=200", &sent, "whole=true", &traced, "tenant=\"acme\""];
    for part in parts {
        assert!(line.contains(part), "{part}: {line}");
    }
    for (id, path, wanted) in [
        ("nowhere", "/nowhere", ["route=\"__unmatched__\"", "status=404"]),
        ("alive", "/livez", ["route=\"/livez\"", "bytes=6"]),
    ] {
        api.request(Method::GET, path).header("x-request-id", id).send().await.unwrap().bytes().await.unwrap();
        let line = line_of(&api, id).await;
        assert!(wanted.iter().all(|part| line.contains(part)), "{line}");
        assert!(!line.contains("tenant="), "{line}");
    }
    let head = api.request(Method::HEAD, "/livez").header("x-request-id", "head");
    head.send().await.unwrap();
    let line = line_of(&api, "head").await;
    assert!(line.contains("bytes=0") && line.contains("whole=true"), "{line}");
}

#[tokio::test]
async fn the_log_never_holds_a_secret() {
    let api = Api::start_with(&[FULL]).await;
    let made = api.create_tenant("acme", "enterprise").await;
    let key = made["api_key"].as_str().unwrap().to_owned();
    let paths = ["/api/schedules", "/api/schedules/hunter2", "/hunter2", "/api/queue/hunter2", "/livez"];
    let methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "HUNTER2", "hunter2"];
    for path in paths {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = api.request(method, &format!("{path}?token={SECRET}&{SECRET}={SECRET}"));
            let request = request
                .header("cookie", format!("session={SECRET}"))
                .header("x-request-id", format!("token-{SECRET}={SECRET}"));
            let request = request.header("user-agent", SECRET).header("referer", format!("http://a/{SECRET}"));
            let request = request.header("traceparent", SECRET).header("x-tenant-id", SECRET).bearer_auth(&key);
            request.json(&json!({"title": SECRET})).send().await.unwrap().bytes().await.unwrap();
        }
    }
    api.request(Method::GET, "/livez").header("x-request-id", "the-last").send().await.unwrap();
    line_of(&api, "the-last").await;
    let lines = lines(&api);
    // The creation of the tenant, and the last one.
    assert_eq!(lines.len(), paths.len() * methods.len() + 2);
    for line in &lines {
        assert!(!line.to_lowercase().contains(SECRET) && !line.contains(&key), "{line}");
    }
    assert!(lines.iter().any(|line| line.contains("method=\"OTHER\"")), "{lines:?}");
}

#[tokio::test]
async fn off_is_off_and_a_sampled_log_has_failures() {
    let silent = Api::start_with(&[("TIDEGATE_HTTP_ACCESS_LOG", "off")]).await;
    let few = Api::start_with(&[("TIDEGATE_HTTP_ACCESS_LOG", "0.000001")]).await;
    for api in [&silent, &few] {
        api.create_tenant("acme", "enterprise").await;
        // A file is in the place of the directory of uploads.
        std::fs::remove_dir_all(api.scratch.join("spool")).unwrap();
        std::fs::write(api.scratch.join("spool"), "").unwrap();
        let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
        let request = request.header("content-type", "text/csv").header("x-request-id", "a-failure");
        assert_eq!(request.body("title").send().await.unwrap().status(), 500);
    }
    assert!(line_of(&few, "a-failure").await.contains("status=500"));
    // By then the other API has logged its failure, without an access line.
    let is_told = async || silent.process.log().find(|line| line.contains("a-failure")).map(drop);
    poll_until(DEADLINE, is_told).await.expect("the cause is logged");
    assert!(lines(&silent).is_empty(), "{:?}", lines(&silent));
}
