//! `POST /api/rate-limit/check`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{ADMIN, READ, SERVICE, TOKENS, ask, decide, left, send, shown};
use crate::harness::{Api, header, problem, success_json};

#[tokio::test]
pub(crate) async fn a_service_gets_yes_or_no_and_a_retry_time() {
    let api = Api::start().await;
    for remaining in (0..5).rev() {
        let yes = decide(&api, "auth", "203.0.113.7|ada").await;
        let reset = yes["reset_after_ms"].as_u64().expect("a number");
        assert!((1..=60_000).contains(&reset), "{yes}");
        let expected = json!({
            "allowed": true, "limiter": "auth", "limit": 5, "remaining": remaining, "reset_after_ms": reset,
            "retry_after_ms": null, "blocked_until": null,
        });
        assert_eq!(yes, expected);
        assert_eq!(left(&api, "auth", "203.0.113.7|ada").await, remaining, "a look charges nothing");
    }
    let no = decide(&api, "auth", "203.0.113.7|ada").await;
    assert_eq!((&no["allowed"], &no["remaining"]), (&json!(false), &json!(0)), "{no}");
    assert_eq!(no["retry_after_ms"], 900_000, "a quarter of an hour: {no}");
    let until: String = no["blocked_until"].as_str().expect("a time").to_owned();
    assert!(until.ends_with('Z') && until.starts_with("20"), "{until}");
    assert_eq!(decide(&api, "auth", "203.0.113.7|bob").await["allowed"], true, "another key");

    let body = json!({"limiter": "report", "key": "acme|ada", "cost": 9});
    assert_eq!(success_json(ask(&api, &body)).await["remaining"], 1);
    assert_eq!(success_json(ask(&api, &body)).await["allowed"], false);
    let auth = shown(&api, "auth").await;
    assert_eq!((&auth["stats"]["allowed"], &auth["stats"]["denied"]), (&json!(6), &json!(1)), "{auth}");
    assert_eq!(auth["stats"]["top_denied"], json!([["203.0.113.7|ada", 1]]));
}

#[tokio::test]
pub(crate) async fn a_tenants_quota_is_checked_by_its_id() {
    let api = Api::start().await;
    api.create_tenant("small", "free").await;
    let question = json!({"limiter": "tenant", "key": "small", "cost": 60});
    let yes = success_json(ask(&api, &question)).await;
    assert_eq!((&yes["allowed"], &yes["window"], &yes["limit"]), (&json!(true), &json!("minute"), &json!(60)), "{yes}");
    let no = decide(&api, "tenant", "small").await;
    assert_eq!((&no["allowed"], &no["remaining"]), (&json!(false), &json!(0)), "{no}");
    problem(send(api.get_as("small", "/api/schedules")).await, 429, "rate-limited").await;
    problem(send(ask(&api, &json!({"limiter": "tenant", "key": "nobody"}))).await, 404, "not-found").await;
}

#[tokio::test]
async fn the_service_token_is_for_decisions_alone() {
    let mut settings = TOKENS.to_vec();
    settings.push(("TIDEGATE_LIMIT_AUTH", "mode=off"));
    let api = Api::start_with(&settings).await;
    let question = json!({"limiter": "api", "key": "somebody"});
    for (token, wanted) in [
        (None, 401),
        (Some("wrong-token-0123456789"), 401),
        (Some(READ), 403),
        (Some(SERVICE), 200),
        (Some(ADMIN), 200),
    ] {
        let request = token.into_iter().fold(ask(&api, &question), RequestBuilder::bearer_auth);
        assert_eq!(send(request).await.status(), wanted, "{token:?}");
    }
    for (method, path) in [(Method::GET, "/api/rate-limit"), (Method::DELETE, "/api/rate-limit?limiter=api&key=a")] {
        let answer = send(api.request(method, path).bearer_auth(SERVICE)).await;
        problem(answer, 403, "forbidden").await;
    }
}

#[tokio::test]
async fn a_service_is_not_counted_as_one_client() {
    let mut settings = TOKENS.to_vec();
    settings.push(("TIDEGATE_LIMIT_DDOS", "3/day"));
    let api = Api::start_with(&settings).await;
    let question = json!({"limiter": "api", "key": "somebody"});
    for _ in 0..10 {
        let answer = send(ask(&api, &question).bearer_auth(SERVICE)).await;
        assert_eq!(answer.status(), 200);
        assert!(!header(&answer, "ratelimit").contains("ddos"), "{:?}", answer.headers());
    }
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(send(ask(&api, &question).bearer_auth("wrong-token-0123456789")).await.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429], "only its own token spares it");
}

#[tokio::test]
async fn invalid_queries_are_refused_with_a_reason() {
    let api = Api::start().await;
    let huge = "k".repeat(10_240);
    let refused =
        async |body: Value, status: u16, kind: &str| problem(send(ask(&api, &body)).await, status, kind).await;
    refused(json!({"limiter": "nothing", "key": "a"}), 404, "not-found").await;
    let long = refused(json!({"limiter": huge, "key": "a"}), 404, "not-found").await;
    assert!(long["detail"].as_str().unwrap().len() < 200, "{long}");
    refused(json!({"limiter": "api", "key": huge}), 422, "bad-key").await;
    refused(json!({"limiter": "api", "key": huge, "peek": true}), 422, "bad-key").await;
    refused(json!({"limiter": "tenant", "key": huge}), 404, "not-found").await;
    refused(json!({"limiter": "api", "key": ""}), 422, "bad-key").await;
    refused(json!({"limiter": "api", "key": "a", "cost": 0}), 422, "bad-cost").await;
    for cost in [101, u64::MAX] {
        let body = refused(json!({"limiter": "api", "key": "a", "cost": cost}), 422, "cost-exceeds-limit").await;
        assert_eq!(body["limit"], 100, "{body}");
    }
    for body in [
        json!({"limiter": "api"}),
        json!({"key": "a"}),
        json!({"limiter": "api", "key": 1}),
        json!({"limiter": "api", "key": null}),
        json!({"limiter": "api", "key": "a", "cost": -1}),
        json!({"limiter": "api", "key": "a", "cost": 1.5}),
        json!({"limiter": "api", "key": "a", "cost": "1"}),
        json!({"limiter": "api", "key": "a", "peek": "yes"}),
        json!({"limiter": "api", "key": "a", "more": 1}),
        json!(["api", "a"]),
    ] {
        refused(body, 400, "unexpected-json").await;
    }
    let too_large = api.request(Method::POST, "/api/rate-limit/check").header("content-type", "application/json");
    problem(send(too_large.body("18446744073709551616")).await, 400, "unexpected-json").await;
    // Any text that is short enough is a key.
    for key in ["\u{0}", "a b\nc", "🌊", "{q}", "*", "../..", "a\"b", &"k".repeat(512)] {
        assert_eq!(decide(&api, "api", key).await["allowed"], true, "{key:?}");
    }
    let stats = &shown(&api, "api").await["stats"];
    assert_eq!((&stats["allowed"], &stats["denied"]), (&json!(8), &json!(0)), "nothing else was charged: {stats}");
    let metrics = send(api.request(Method::GET, "/metrics")).await.text().await.expect("text");
    for line in [
        "tidegate_ratelimit_decisions_total{limiter=\"api\",decision=\"allowed\"} 8",
        "tidegate_ratelimit_decisions_total{limiter=\"report\",decision=\"denied\"} 0",
        "tidegate_ratelimit_evicted_live_total{limiter=\"auth\"} 0",
        "tidegate_ratelimit_blocked_keys{limiter=\"ddos\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    let series = metrics.lines().filter(|line| line.starts_with("tidegate_ratelimit_decisions_total")).count();
    assert_eq!(series, 15, "no key and no unknown name becomes a label");
}
