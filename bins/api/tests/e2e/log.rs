//! What the log looks like, and an operator's hand on its filter.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{Process, Stream, poll_until};

use crate::harness::{Api, DEADLINE, client, success_json};

fn written(process: &Process, stream: Stream) -> String {
    let lines = process.log().lines().into_iter().filter(|line| line.stream == stream);
    lines.map(|line| line.text + "\n").collect()
}

#[tokio::test]
async fn a_log_of_json_has_one_object_a_line_with_its_fields_and_spans() {
    let settings = [("TIDEGATE_LOG_FORMAT", "json"), ("TIDEGATE_HTTP_ACCESS_LOG", "full")];
    let mut api = Api::start_with(&settings).await;
    let answer = api.request(Method::GET, "/api/schedules").header("x-request-id", "mine-1");
    assert_eq!(answer.header("x-tenant-id", "acme").send().await.unwrap().status(), 404);
    assert!(api.process.stop().await.unwrap().success());
    let written = written(&api.process, Stream::Stderr);
    let lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
    for line in &lines {
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["timestamp", "level", "target", "message", "fields", "spans"], "{line}");
    }
    let access = lines.iter().find(|line| line["target"] == "tidegate::access").expect("an access line");
    assert_eq!((&access["level"], &access["fields"]["status"]), (&json!("INFO"), &json!(404)), "{access}");
    assert!(access.to_string().contains("mine-1"), "{access}");
}

#[tokio::test]
async fn an_operator_changes_the_filter_for_a_while_and_takes_it_back() {
    let api = Api::start_with(&[("RUST_LOG", "warn"), ("TIDEGATE_HTTP_ACCESS_LOG", "full")]).await;
    let set = |body: Value| api.request(Method::PUT, "/api/log").json(&body).send();
    let of_settings = json!({"filter": "warn", "until": null, "of_settings": "warn"});
    assert_eq!(api.json("/api/log").await, of_settings);
    for (filter, minutes) in [("=x=", 1), ("info", 0), ("info", 1_441), ("", 1)] {
        let refused = set(json!({"filter": filter, "minutes": minutes})).await.unwrap();
        assert_eq!(refused.status(), 422, "{filter} for {minutes}");
    }
    let seen = || written(&api.process, Stream::Stderr).matches("tidegate::access").count();
    api.json("/api/log").await;
    assert_eq!(seen(), 0);
    let answer = set(json!({"filter": "info", "minutes": 5})).await.unwrap();
    let now: Value = answer.json().await.unwrap();
    assert_eq!(now["filter"], "info");
    assert!(now["until"].is_string(), "{now}");
    let logged = poll_until(DEADLINE, async || {
        api.json("/api/log").await;
        (seen() > 0).then_some(())
    });
    logged.await.expect("requests are logged now");
    assert_eq!(success_json(api.request(Method::DELETE, "/api/log")).await, of_settings);
}

#[tokio::test]
async fn only_the_admin_token_changes_the_filter() {
    let (admin, read) = ("admin-token-0123456789", "read-token-0123456789");
    let api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN", admin), ("TIDEGATE_READ_TOKEN", read)]).await;
    let body = json!({"filter": "info", "minutes": 5});
    for (token, wanted) in [(read, 403), (admin, 200)] {
        let set = api.request(Method::PUT, "/api/log").bearer_auth(token).json(&body);
        assert_eq!(set.send().await.unwrap().status(), wanted);
    }
}

#[tokio::test]
async fn workers_answer_probes_without_a_setting_each_at_its_own_port() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let (mut urls, mut workers) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut worker = api.worker(&[]).start().unwrap();
        let line = worker.wait_for_line("Probes and metrics at", DEADLINE).await.unwrap();
        let url = line[line.find("http://").unwrap()..].trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let ready = client().get(format!("{url}/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        urls.push(url);
        workers.push(worker);
    }
    assert_ne!(urls[0], urls[1]);
    let mut silent = api.worker(&[("TIDEGATE_WORKER_LISTEN", "off")]).start().unwrap();
    silent.wait_for_line("works on the queues", DEADLINE).await.unwrap();
    assert!(silent.stop().await.unwrap().success());
    let told = written(&silent, Stream::Stdout);
    assert!(!told.contains("Probes"), "{told}");
}
