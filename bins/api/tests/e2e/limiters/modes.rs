//! Limiters that are off or only watched, and logins that fail.

use reqwest::Method;
use serde_json::json;

use super::{ADMIN, READ, TOKENS, decide, send, shown};
use crate::harness::{Api, header, problem, success_json};

const GUESS: &str = "guessed-token-0123456789";

#[tokio::test]
async fn failed_logins_are_counted_and_the_right_token_always_passes() {
    let api = Api::start_with(&TOKENS).await;
    let read = async |token: &str| send(api.request(Method::GET, "/api/queue").bearer_auth(token)).await;
    for attempt in 1..=5 {
        problem(read(GUESS).await, 401, "unauthorized").await;
        // Neither what is known nor what is no token is an attempt.
        assert_eq!(read(ADMIN).await.status(), 200, "{attempt}");
        assert_eq!(send(api.request(Method::GET, "/api/queue")).await.status(), 401);
    }
    for _ in 0..2 {
        let refused = read(GUESS).await;
        assert_eq!(header(&refused, "ratelimit-policy"), "\"auth\";q=5;w=60, \"ddos\";q=1000;w=1");
        let wait: u64 = header(&refused, "retry-after").parse().expect("whole seconds");
        assert!((890..=900).contains(&wait), "{wait}");
        assert_eq!(problem(refused, 429, "rate-limited").await["limiter"], "auth");
    }
    assert_eq!(
        (read(ADMIN).await.status(), read(READ).await.status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    let stats = &shown(&api, "auth").await["stats"];
    assert_eq!(stats["top_denied"], json!([["127.0.0.1|operations", 2]]), "no token in there: {stats}");
    // Another account from the same address has its own attempts.
    let check = api.request(Method::POST, "/api/rate-limit/check").bearer_auth(GUESS);
    problem(send(check.json(&json!({"limiter": "api", "key": "a"}))).await, 401, "unauthorized").await;

    let path = "/api/rate-limit/block?limiter=auth&key=127.0.0.1%7Coperations";
    let unblock = api.request(Method::DELETE, path).bearer_auth(ADMIN);
    assert_eq!(success_json(unblock).await["unblocked"], true);
}

#[tokio::test]
async fn a_limiter_in_shadow_mode_refuses_no_client_and_counts_would_be_refusals() {
    let settings = [("TIDEGATE_LIMIT_DDOS", "3/day, mode=shadow"), ("TIDEGATE_LIMIT_TENANT_MODE", "shadow")];
    let api = Api::start_with(&settings).await;
    let body = json!({"id": "odd", "name": "Odd", "tier": "free", "limits": {"per_minute": 2}});
    success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
    for _ in 0..8 {
        assert_eq!(send(api.get_as("odd", "/api/schedules")).await.status(), 200);
    }
    let (ddos, tenant) = (shown(&api, "ddos").await, shown(&api, "tenant").await);
    assert_eq!(
        (&ddos["mode"], &ddos["stats"]["allowed"], &ddos["stats"]["denied"]),
        (&json!("shadow"), &json!(3), &json!(7))
    );
    assert_eq!((&tenant["mode"], &tenant["stats"]["denied"]), (&json!("shadow"), &json!(6)));
}

#[tokio::test]
async fn the_decision_service_obeys_the_mode_of_the_tenants_quota() {
    for mode in ["shadow", "off"] {
        let api = Api::start_with(&[("TIDEGATE_LIMIT_TENANT_MODE", mode)]).await;
        let body = json!({"id": "odd", "name": "Odd", "tier": "free", "limits": {"per_minute": 1}});
        success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
        for remaining in [u64::from(mode == "off"), u64::from(mode == "off")] {
            let yes = decide(&api, "tenant", "odd").await;
            let told = ["allowed", "limit", "remaining", "retry_after_ms", "window"].map(|field| yes[field].clone());
            assert_eq!(told, [json!(true), json!(1), json!(remaining), json!(null), json!("minute")], "{mode}: {yes}");
        }
        // A cost that can never fit is an error of the quota, which refuses no request here.
        let much = super::ask(&api, &json!({"limiter": "tenant", "key": "odd", "cost": 2}));
        assert_eq!(success_json(much).await["allowed"], true, "{mode}");
        let counted = u64::from(mode == "shadow");
        assert_eq!(shown(&api, "tenant").await["stats"]["allowed"], counted, "{mode}");
    }
}

#[tokio::test]
async fn a_limiter_that_is_off_is_not_queried() {
    let settings = [
        ("TIDEGATE_LIMIT_DDOS", "1/day, mode=off"),
        ("TIDEGATE_LIMIT_API", "1/day, mode=off"),
        ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
    ];
    let api = Api::start_with(&settings).await;
    let body = json!({"id": "odd", "name": "Odd", "tier": "free", "limits": {"per_minute": 1}});
    success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
    for _ in 0..5 {
        let answer = send(api.get_as("odd", "/api/schedules")).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "ratelimit")), (200, String::new()));
        assert_eq!(decide(&api, "api", "anybody").await["allowed"], true);
    }
    assert_eq!(shown(&api, "ddos").await["stats"]["allowed"], 0);
}
