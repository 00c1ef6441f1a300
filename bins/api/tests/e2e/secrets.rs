//! Nothing that a client sends in confidence comes out where figures are shown, exported or logged.

use std::convert::Infallible;

use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, problem, schedule, success_json};
use crate::performance::types;
use crate::stuck::Stuck;

const CARD: &str = "4111111111111111";
/// A query string in which each value begins with the same word.
const QUERY: &str = "password=hunter2password&token=hunter2token&mail=hunter2.ada@example.org&card=4111111111111111";

/// The same request, with a secret wherever a request has room for one.
fn laden(request: RequestBuilder) -> RequestBuilder {
    request
        .header("authorization", "Bearer hunter2bearer0123456789")
        .header("cookie", "session=hunter2cookie; theme=dark")
        .header("x-api-key", "hunter2apikey")
        .header("referer", format!("http://localhost/?{QUERY}"))
        .header("user-agent", format!("client hunter2.agent@example.org {CARD}"))
}

/// Sends a request whose body begins and never ends, and one that fails slowly because the database
/// is locked.
async fn fail_slowly(api: &Api, id: &str) {
    let write = |body: Body, id: &str| {
        let request = api.request(Method::POST, &format!("/api/schedules?{QUERY}")).header("x-tenant-id", "acme");
        let request = request.header("cookie", "session=hunter2cookie").header("x-request-id", id);
        request.header("content-type", "application/json").body(body)
    };
    let begun = stream::iter([Ok::<_, Infallible>(format!("{{\"title\":\"{QUERY}").into_bytes())]);
    let body = Body::wrap_stream(futures_util::StreamExt::chain(begun, stream::pending()));
    problem(write(body, "the-broken-one").send().await.expect("an answer"), 408, "too-slow").await;
    let _stuck = Stuck::beside(api).await;
    let whole = Body::from(schedule(QUERY).to_string());
    problem(write(whole, id).send().await.expect("an answer"), 503, "timeout").await;
}

/// Sends secrets by every way in, and returns the tenant's key.
async fn plant(api: &Api) -> String {
    let tenant = json!({"id": "acme", "name": format!("Acme {QUERY}"), "tier": "enterprise"});
    let made = success_json(api.request(Method::POST, "/api/tenants").json(&tenant)).await;
    let again = api.request(Method::POST, "/api/tenants").json(&tenant).send().await.expect("an answer");
    problem(again, 409, "exists").await;
    for path in ["/api/schedules", "/api/nowhere", "/api/performance", "/api/queue", "/metrics", "/health", "/livez"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            laden(api.request(method, &format!("{path}?{QUERY}"))).send().await.expect("an answer");
        }
    }
    let title = json!({"title": QUERY, "starts_at": "2030-01-07T09:00:00Z", "ends_at": "2030-01-07T09:15:00Z",
        "attendees": ["hunter2.guest@example.org"]});
    success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&title)).await;
    fail_slowly(api, "the-slow-one").await;

    let rows = format!(
        "title,starts_at,ends_at,recurrence,attendees\n\
         {QUERY},2030-01-07T09:00:00Z,2030-01-07T09:15:00Z,,hunter2.row@example.org\n\
         {QUERY},hunter2 is no time,{CARD},hunter2rule,hunter2.bad@example.org\n"
    );
    let import = api.import_csv("acme", rows).await;
    api.job_in_state(&import, "done").await;
    let payload = json!({"password": "hunter2payload", "card": CARD, "tenant": {"id": "hunter2tenant"}});
    let job = json!({"kind": "schedule.import", "payload": payload, "max_attempts": 1});
    let made_job = success_json(api.request(Method::POST, "/api/queue/import/jobs").json(&job)).await;
    api.job_in_state(made_job["id"].as_str().expect("an id"), "dead").await;
    made["api_key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn no_secret_in_any_export() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=600ms")]).await;
    let key = plant(&api).await;
    let is_filed = async || {
        let told = api.json("/api/performance?type=endpoints&limit=100").await;
        let all = told["items"].as_array()?.iter();
        (all.filter_map(|item| item["errors"].as_u64()).sum::<u64>() > 0).then_some(())
    };
    poll_until(DEADLINE, is_filed).await.expect("the second ends");

    let mut seen = Vec::new();
    let mut queries = vec![String::new()];
    queries.extend(types(&api).await.into_iter().map(|name| format!("type={name}&limit=100&")));
    let exports = queries
        .iter()
        .flat_map(|query| ["json", "csv"].map(|format| format!("/api/performance?{query}window=1h&format={format}")));
    for path in exports.chain(["/metrics", "/health", "/api/queue", "/api/cache", "/api/rate-limit"].map(str::to_owned))
    {
        let answer = api.request(Method::GET, &path).send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert!(status == 200 || (path == "/health" && status == 503), "{path}: {status}");
        seen.push((path, answer.text().await.expect("text")));
    }
    let log: Vec<_> = api.process.log().lines().into_iter().map(|line| line.text).collect();
    assert!(log.iter().any(|line| line.contains("serving")), "something is logged: {log:?}");
    seen.push(("the log".to_owned(), log.join("\n")));

    for (place, text) in &seen {
        for secret in ["hunter2", CARD, &key] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in {place}");
        }
    }
    // What is to be there is there, so that nothing was looked through in vain.
    let slow: Value = api.json("/api/performance?type=slow-apis").await;
    assert_eq!(slow["failed"][0]["request_id"], "the-slow-one", "{slow}");
    let shows = |place: &str, part: &str| seen.iter().any(|(path, text)| path.contains(place) && text.contains(part));
    assert!(shows("type=export&limit=100&window=1h&format=csv", "the-slow-one"));
    assert!(shows("type=endpoints", "/api/schedules/import") && shows("/metrics", "__unmatched__"));
}
