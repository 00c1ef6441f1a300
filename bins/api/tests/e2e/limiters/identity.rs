//! Whatever a client sends, it is counted by its real identity.

use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{ADMIN, send, shown};
use crate::harness::{Api, problem, success_json};

/// An API behind a proxy on this machine, so that a test can come from any address.
async fn behind_a_proxy(variables: &[(&str, &str)]) -> Api {
    let mut all = vec![("TIDEGATE_TRUSTED_PROXIES", "127.0.0.1/32"), ("TIDEGATE_ADMIN_TOKEN", ADMIN)];
    all.extend_from_slice(variables);
    Api::start_with(&all).await
}

fn hostile_values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        "unknown",
        "_hidden",
        ", , ,",
        "\"",
        "\\\"",
        "for=",
        "for=\"[::1",
        "999.1.1.1",
        "1.1.1.1:99999",
        "::fffff",
        "%00",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    values.extend([
        vec![0xff, 0xfe, 0x80],
        vec![b'9'; 10_240],
        b"1.1.1.1,".repeat(1_200),
        vec![b'"'; 10_241],
        b"\\\"".repeat(5_000),
    ]);
    values
}

fn forging(request: RequestBuilder, value: &[u8]) -> RequestBuilder {
    let value = HeaderValue::from_bytes(value).expect("a legal header");
    ["x-forwarded-for", "forwarded", "x-real-ip"]
        .iter()
        .fold(request, |request, name| request.header(*name, value.clone()))
}

#[tokio::test]
async fn a_client_that_writes_its_own_forwarded_header_can_not_choose_its_key() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", "3/day"), ("TIDEGATE_ADMIN_TOKEN", ADMIN)]).await;
    let mut statuses = Vec::new();
    for number in 0..25 {
        let request = forging(api.request(Method::GET, "/api/schedules"), format!("6.6.6.{number}").as_bytes());
        statuses.push(send(request).await.status().as_u16());
    }
    for value in hostile_values() {
        statuses.push(send(forging(api.request(Method::GET, "/api/schedules"), &value)).await.status().as_u16());
    }
    let (free, refused) = statuses.split_at(3);
    assert!(free.iter().all(|status| *status == 401) && refused.iter().all(|status| *status == 429), "{statuses:?}");
    let problem = problem(send(api.request(Method::GET, "/nowhere")).await, 429, "rate-limited").await;
    assert_eq!(problem["limiter"], "ddos");
}

#[tokio::test]
async fn behind_a_proxy_what_the_client_wrote_before_it_does_not_count() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "20/day")]).await;
    let guess = async |forwarded: Vec<u8>| {
        let value = HeaderValue::from_bytes(&forwarded).expect("a legal header");
        let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", value);
        send(request.bearer_auth("tk_guess")).await.status().as_u16()
    };
    let mut statuses = Vec::new();
    let forged = (0..10).map(|number| format!("6.6.6.{number}").into_bytes());
    for mut value in forged.chain(hostile_values()) {
        // As nginx does with `$proxy_add_x_forwarded_for`.
        value.extend_from_slice(b", 203.0.113.7");
        statuses.push(guess(value).await);
    }
    let (free, refused) = statuses.split_at(20);
    assert!(free.iter().all(|status| *status == 401) && refused.iter().all(|status| *status == 429), "{statuses:?}");
    assert_eq!(guess(b"203.0.113.8".to_vec()).await, 401, "another client");
    // Where the proxy itself sends garbage, it is the proxy that is counted.
    for value in hostile_values().into_iter().filter(|value| !value.starts_with(b"1.1.1.1,")) {
        assert_eq!(guess(value).await, 401);
    }
    let stats = shown(&api, "api").await["stats"].clone();
    assert_eq!(stats["tracked_keys"], 3, "{stats}");
}

#[tokio::test]
async fn a_header_that_the_proxies_do_not_set_is_ignored() {
    let guess = async |api: &Api, forwarded: &str| {
        let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", "203.0.113.7");
        send(request.header("forwarded", forwarded).bearer_auth("tk_guess")).await.status().as_u16()
    };
    let told = async |api: &Api| [guess(api, "for=6.6.6.1").await, guess(api, "for=6.6.6.2").await];
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "1/day")]).await;
    assert_eq!(told(&api).await, [401, 429]);
    assert_eq!(shown(&api, "api").await["stats"]["top_denied"], json!([["203.0.113.7", 1]]));
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "1/day"), ("TIDEGATE_FORWARDED_HEADER", "forwarded")]).await;
    assert_eq!(told(&api).await, [401, 401], "each is another client");
}

#[tokio::test]
async fn a_blocked_address_is_the_key_that_its_requests_count_under() {
    let api = behind_a_proxy(&[]).await;
    let from = async |address: &str| {
        send(api.request(Method::GET, "/nowhere").header("x-forwarded-for", address)).await.status().as_u16()
    };
    for (named, counted, address) in [
        ("2001:db8::7", "2001:db8::/64", "2001:db8::8"),
        ("2001:DB8:0:1:0::/64", "2001:db8:0:1::/64", "2001:db8:0:1::8"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
    ] {
        let body = json!({"limiter": "ddos", "key": named, "seconds": 600});
        let block = api.request(Method::POST, "/api/rate-limit/block").bearer_auth(ADMIN).json(&body);
        assert_eq!(success_json(block).await["key"], counted);
        assert_eq!(from(address).await, 429, "{named}");
        let path = format!("/api/rate-limit/block?limiter=ddos&key={named}");
        let unblocked = success_json(api.request(Method::DELETE, &path).bearer_auth(ADMIN)).await;
        assert_eq!(unblocked, json!({"unblocked": true}));
    }
}

#[tokio::test]
async fn an_operator_who_blocks_itself_can_end_it() {
    let api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN", ADMIN)]).await;
    let body = json!({"limiter": "ddos", "key": "127.0.0.1", "seconds": 31_536_000});
    success_json(api.request(Method::POST, "/api/rate-limit/block").bearer_auth(ADMIN).json(&body)).await;
    let path = "/api/rate-limit/block?limiter=ddos&key=127.0.0.1";
    for token in ["wrong-token-0123456789", "tk_guess"] {
        let refused =
            problem(send(api.request(Method::DELETE, path).bearer_auth(token)).await, 429, "rate-limited").await;
        assert_eq!(refused["limiter"], "ddos", "only the right token passes");
    }
    assert_eq!(success_json(api.request(Method::DELETE, path).bearer_auth(ADMIN)).await["unblocked"], true);
}

#[tokio::test]
async fn how_much_of_an_ipv6_address_is_one_client_is_a_setting() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "2/day"), ("TIDEGATE_LIMIT_IPV6_PREFIX", "48")]).await;
    let mut statuses = Vec::new();
    for address in
        ["2001:db8:1:1::1", "[2001:db8:1:2::2]:80", "2001:db8:1:ffff::3", "2001:db8:2::1", "::ffff:192.0.2.1"]
    {
        let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", address);
        statuses.push(send(request.bearer_auth("tk_guess")).await.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 429, 401, 401]);
    assert_eq!(shown(&api, "api").await["stats"]["top_denied"], json!([["2001:db8:1::/48", 1]]));
}

#[tokio::test]
pub(crate) async fn no_secret_becomes_a_key() {
    let api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_LIMIT_API", "1/day")]).await;
    let body = json!({"id": "acme", "name": "Acme", "tier": "free"});
    let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
    let key = made["api_key"].as_str().expect("a key").to_owned();
    for token in [key.as_str(), key.as_str(), "tk_guessed_s3cr3t", "tk_guessed_s3cr3t"] {
        send(api.request(Method::GET, "/api/schedules").bearer_auth(token)).await;
    }
    let shown = success_json(api.request(Method::GET, "/api/rate-limit").bearer_auth(ADMIN)).await.to_string();
    let metrics = send(api.request(Method::GET, "/metrics")).await.text().await.expect("text");
    let mut told = shown + metrics.as_str();
    for line in api.process.log().lines() {
        told.push_str(&line.text);
    }
    if let crate::backend::Servers::Single(server) = &*api.servers {
        told.push_str(&server.cli(&["KEYS", "*"]).await);
    }
    assert!(told.contains("\"key:"), "a denied key is listed, by its hash");
    for secret in [&key[3..], "s3cr3t"] {
        assert!(!told.contains(secret), "{secret} is shown");
    }
}
