//! What every answer bears, whatever it is about.

use std::collections::BTreeSet;

use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{Api, header, success_json};

const MAPS: [&str; 2] = [include_str!("../../src/routes.rs"), include_str!("../../src/routes/queues.rs")];
/// They are made in another crate.
const PROBES: [&str; 5] = ["/livez", "/readyz", "/startupz", "/health", "/metrics"];
const ADMIN: &str = "admin-token-0123456789";

/// Every path of the maps, so that a new route can't be forgotten here, with nothing at its ids.
fn paths() -> BTreeSet<String> {
    let written = MAPS.iter().flat_map(|map| map.split(".route(\"").skip(1)).filter_map(|rest| rest.split('"').next());
    let filled = written.map(|path| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part });
        parts.collect::<Vec<_>>().join("/")
    });
    let others = PROBES.into_iter().chain(["/api/rate-limit/check", "/nowhere", "/"]).map(str::to_owned);
    filled.chain(others).collect()
}

fn assert_bears_the_headers(answer: &Response, method: &Method) {
    let wanted = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    let at = format!("{method} {}: {}", answer.url().path(), answer.status());
    for (name, value) in wanted {
        assert_eq!(header(answer, name), value, "{name} of {at}");
    }
    assert!(header(answer, "permissions-policy").contains("geolocation=()"), "{at}");
    let kept = header(answer, "cache-control");
    assert!(kept == "no-store" || kept.starts_with("private, no-"), "cache-control of {at}: {kept}");
}

#[tokio::test]
async fn every_answer_bears_the_headers() {
    let variables = [("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_OPEN_TENANTS", "1")];
    let api = Api::start_with(&variables).await;
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise"});
    success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&tenant)).await;
    let paths = paths();
    assert!(paths.len() > 35, "{paths:?}");
    let mut seen = BTreeSet::new();
    for path in &paths {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for token in [None, Some(ADMIN), Some("wrong-token-0123456789")] {
                let request = api.request(method.clone(), path).header("x-tenant-id", "acme");
                let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
                let answer = request.send().await.expect("an answer");
                assert_bears_the_headers(&answer, &method);
                seen.insert(answer.status().as_u16());
            }
        }
    }
    for status in [200, 401, 404, 405] {
        assert!(seen.contains(&status), "{status} was not among {seen:?}");
    }
}

#[tokio::test]
async fn who_is_turned_away_gets_the_headers_too() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", "3/minute")]).await;
    let mut last = 0;
    for _ in 0..4 {
        let answer = api.request(Method::GET, "/api/queue").send().await.expect("an answer");
        last = answer.status().as_u16();
        assert_bears_the_headers(&answer, &Method::GET);
    }
    assert_eq!(last, 429);
}
