//! What operators change while it runs: quotas, blocks, resets.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, block, change, decide, left, send, shown, unblock};
use crate::harness::{Api, problem, success_json};

#[tokio::test]
async fn every_limiter_is_shown_with_its_defaults() {
    let api = Api::start().await;
    let body = api.json("/api/rate-limit").await;
    let limiters = body["limiters"].as_array().expect("limiters");
    let told =
        |limiter: &Value| ["name", "algorithm", "quota", "block_seconds", "mode"].map(|field| limiter[field].clone());
    let expected = [
        [json!("ddos"), json!("sketch_limiter"), json!("1000/second"), json!(10.0), json!("on")],
        [json!("auth"), json!("sliding_log"), json!("5/minute"), json!(900.0), json!("on")],
        [json!("report"), json!("sliding_log"), json!("10/hour"), json!(300.0), json!("on")],
        [json!("api"), json!("sliding_window"), json!("100/minute"), json!(60.0), json!("on")],
        [json!("tenant"), json!("tenant"), json!(null), json!(0.0), json!("on")],
    ];
    assert_eq!(limiters.iter().map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test]
pub(crate) async fn another_quota_counts_at_once_and_what_was_charged_stays() {
    let api = Api::start().await;
    for _ in 0..3 {
        decide(&api, "report", "acme|ada").await;
    }
    let told = change(&api, &json!({"limiter": "report", "quota": " 20 / hours "})).await;
    assert_eq!(told, json!({"limiter": "report", "quota": "20/hour"}));
    assert_eq!(left(&api, "report", "acme|ada").await, 17);
    assert_eq!(shown(&api, "report").await["quota"], "20/hour");
    change(&api, &json!({"limiter": "report", "quota": "2/hour"})).await;
    assert_eq!(decide(&api, "report", "acme|ada").await["allowed"], false, "more was charged than is allowed now");
    let back = change(&api, &json!({"limiter": "report", "quota": null})).await;
    assert_eq!(back["quota"], "10/hour", "that of the settings");
    let report = shown(&api, "report").await;
    assert_eq!((&report["quota"], &report["settings_quota"]), (&json!("10/hour"), &json!("10/hour")));
}

#[tokio::test]
async fn a_change_that_means_nothing_is_refused_and_changes_nothing() {
    let api = Api::start().await;
    let post = |body: Value| api.request(Method::POST, "/api/rate-limit").json(&body);
    let hostile = ["", "0/minute", "100", "100/fortnight", "-1/minute", "1/0s", "9007199254740992/s", "1/367d"];
    for quota in hostile.into_iter().chain(["100/minute; 1000/hour", "1001/day", &"9".repeat(10_240)]) {
        let body = json!({"limiter": "auth", "quota": quota});
        let told = problem(send(post(body)).await, 422, "bad-quota").await;
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.len() < 400 && detail.starts_with("`quota`") && !detail.contains("burst"), "{told}");
    }
    for limiter in ["ddos", "auth", "report", "api"] {
        let body = json!({"limiter": limiter, "quota": "10/minute burst 3"});
        let told = problem(send(post(body)).await, 422, "bad-quota").await;
        assert_eq!(told["detail"], "`quota`: `10/minute burst 3`: a burst of 3, where there is none: leave it out");
    }
    problem(send(post(json!({"limiter": "nothing", "quota": "1/minute"}))).await, 404, "not-found").await;
    let told = problem(send(post(json!({"limiter": "tenant", "quota": "1/minute"}))).await, 422, "bad-limiter").await;
    assert!(told["detail"].as_str().unwrap().contains("name the tenant by its id"), "{told}");
    for body in [
        json!({}),
        json!({"limiter": "api"}),
        json!({"quota": "1/minute"}),
        json!({"limiter": "api", "quota": "1/minute", "tenant_id": "acme"}),
        json!({"limiter": "api", "quota": "1/minute", "tier": "free"}),
        json!({"limiter": "api", "quota": 100}),
    ] {
        problem(send(post(body)).await, 400, "unexpected-json").await;
    }
    let quotas = [shown(&api, "auth").await, shown(&api, "api").await].map(|limiter| limiter["quota"].clone());
    assert_eq!(quotas, ["5/minute", "100/minute"]);
}

#[tokio::test]
pub(crate) async fn a_key_is_blocked_unblocked_and_reset() {
    let api = Api::start().await;
    decide(&api, "api", "mallory").await;
    let told = block(&api, "api", "mallory", 3_600).await;
    assert_eq!((&told["limiter"], &told["key"]), (&json!("api"), &json!("mallory")), "{told}");
    let no = decide(&api, "api", "mallory").await;
    assert_eq!(no["allowed"], false);
    let wait = no["retry_after_ms"].as_u64().expect("a number");
    assert!((3_590_000..=3_600_000).contains(&wait), "{no}");
    assert!(no["blocked_until"].is_string(), "{no}");
    assert_eq!(decide(&api, "api", "alice").await["allowed"], true);

    assert_eq!(unblock(&api, "api", "mallory").await, true);
    assert_eq!(unblock(&api, "api", "mallory").await, false);
    assert_eq!(left(&api, "api", "mallory").await, 99, "usage stays");
    block(&api, "api", "mallory", 60).await;
    let reset = api.request(Method::DELETE, "/api/rate-limit?limiter=api&key=mallory");
    assert_eq!(success_json(reset).await, json!({"reset": true}));
    assert_eq!(left(&api, "api", "mallory").await, 100, "and goes with a reset, as the block does");
}

#[tokio::test]
async fn a_block_that_means_nothing_is_refused() {
    let api = Api::start().await;
    let post = |body: Value| api.request(Method::POST, "/api/rate-limit/block").json(&body);
    let good = json!({"limiter": "api", "key": "a", "seconds": 60});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for seconds in [0, 366 * 86_400 + 1, u64::MAX] {
        problem(send(post(with("seconds", json!(seconds)))).await, 422, "bad-block").await;
    }
    for seconds in [json!(-1), json!(1.5), json!("60"), json!(null)] {
        problem(send(post(with("seconds", seconds))).await, 400, "unexpected-json").await;
    }
    for key in ["", &"k".repeat(10_240)] {
        problem(send(post(with("key", json!(key)))).await, 422, "bad-key").await;
    }
    problem(send(post(with("limiter", json!("nothing")))).await, 404, "not-found").await;
    // What could never be the key of a client, or a tenant's.
    for key in ["203.0.113.0/24", " 203.0.113.7", "203.0.113.7:443", "2001:db8::/48", "mallory", ""] {
        let body = json!({"limiter": "ddos", "key": key, "seconds": 60});
        let told = problem(send(post(body.clone())).await, 422, "bad-key").await;
        assert!(key.is_empty() || told["detail"].as_str().unwrap().contains("the /64 of an IPv6 address"), "{told}");
        problem(send(ask(&api, &json!({"limiter": "ddos", "key": key}))).await, 422, "bad-key").await;
        for path in ["/api/rate-limit", "/api/rate-limit/block"] {
            let delete = api.request(Method::DELETE, &format!("{path}?limiter=ddos&key={key}"));
            problem(send(delete).await, 422, "bad-key").await;
        }
    }
    for key in ["no-such-tenant", "Acme "] {
        let body = json!({"limiter": "tenant", "key": key, "seconds": 60});
        problem(send(post(body)).await, 404, "not-found").await;
        for path in ["/api/rate-limit", "/api/rate-limit/block"] {
            let delete = api.request(Method::DELETE, &format!("{path}?limiter=tenant&key={key}"));
            problem(send(delete).await, 404, "not-found").await;
        }
    }
    for query in ["", "limiter=api", "key=a", "limiter=api&key=a&more=1"] {
        let delete = api.request(Method::DELETE, &format!("/api/rate-limit/block?{query}"));
        problem(send(delete).await, 400, "bad-query").await;
    }
    for key in ["nobody", "no/id", &"k".repeat(600)] {
        let body = json!({"limiter": "tenant", "key": key, "seconds": 60});
        problem(send(post(body)).await, 404, "not-found").await;
    }
    for path in ["/api/rate-limit/block", "/api/rate-limit"] {
        let delete = api.request(Method::DELETE, &format!("{path}?limiter=api&key="));
        problem(send(delete).await, 422, "bad-key").await;
    }
    let huge = format!("/api/rate-limit/block?limiter=api&key={}", "k".repeat(10_240));
    let answer = send(api.request(Method::DELETE, &huge)).await;
    assert!(answer.status().is_success() || answer.status().is_client_error(), "{}", answer.status());
    problem(send(api.request(Method::GET, "/api/rate-limit/block")).await, 405, "method-not-allowed").await;
}

/// An answer that denied the limiter `tenant` named it in its list.
#[tokio::test]
async fn no_answer_denies_a_limiter_that_it_names() {
    let api = Api::start().await;
    for query in ["limiter=tenant&key=acme", "simulate=tenant"] {
        let answer = send(api.request(Method::GET, &format!("/dashboard/limits?{query}"))).await;
        assert_eq!(answer.status(), 422, "{query}");
        let page = answer.text().await.expect("a page");
        assert!(page.contains("name the tenant by its id") && !page.contains("there is no limiter"), "{page}");
    }
    let missing = send(api.request(Method::GET, "/dashboard/limits?limiter=nothing&key=acme")).await;
    assert_eq!(missing.status(), 404);
    assert!(missing.text().await.expect("a page").contains("there is no limiter `nothing`"));
}
