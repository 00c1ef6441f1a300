//! The tenants' keys, and the open tour without any. [`crate::matrix`] tests who may do which
//! operation.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ADMIN, READ, TOKENS};
use crate::document::{Document, Known};
use crate::harness::{Api, problem, success_json};

#[tokio::test]
async fn application_routes_need_the_tenants_own_key() {
    let api = Api::start_with(&TOKENS).await;
    let mut keys = Vec::new();
    for id in ["acme", "bolt"] {
        let body = json!({"id": id, "name": id, "tier": "enterprise"});
        let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
        keys.push(made["api_key"].as_str().unwrap().to_owned());
    }
    let (acme, bolt) = (keys[0].as_str(), keys[1].as_str());
    let mut unknown = acme.to_owned();
    unknown.replace_range(10..11, if &acme[10..11] == "0" { "1" } else { "0" });

    for token in [ADMIN, READ, "tk_", &unknown, &acme[..acme.len() - 1]] {
        let answer = api.request(Method::GET, "/api/schedules").bearer_auth(token).send().await.unwrap();
        problem(answer, 401, "unauthorized").await;
    }
    problem(api.request(Method::GET, "/api/schedules").send().await.unwrap(), 401, "unauthorized").await;
    success_json(api.request(Method::GET, "/api/schedules").bearer_auth(acme)).await;

    // A tenant is shown to operators and to itself; to another it is not there.
    let show = async |token: &str| {
        api.request(Method::GET, "/api/tenants/acme").bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        [show(ADMIN).await, show(READ).await, show(acme).await, show(bolt).await, show(&unknown).await],
        [200, 200, 200, 404, 401]
    );
    // The token that was sent decides which identity must be proved, and which error a failure
    // gets.
    let told = async |token: Option<&str>| {
        let request = api.request(Method::GET, "/api/tenants/acme").header("x-tenant-id", "acme");
        let answer = token.into_iter().fold(request, RequestBuilder::bearer_auth).send().await.unwrap();
        problem(answer, 401, "unauthorized").await["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(told(Some(&unknown)).await, "the API key is not known");
    assert_eq!(told(Some("wrong-token-0123456789")).await, "the token is not known");
    assert!(told(None).await.contains("the token of this operation"));
}

#[tokio::test]
async fn with_tokens_the_tenants_name_alone_is_refused() {
    let api = Api::start_with(&TOKENS).await;
    let body = json!({"id": "acme", "name": "Acme"});
    success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
    for id in ["acme", "nobody"] {
        let answer = api.get_as(id, "/api/schedules").send().await.unwrap();
        let body = problem(answer, 401, "unauthorized").await;
        assert!(body["detail"].as_str().unwrap().contains("X-Tenant-Id"), "{body}");
    }
    let with_token = api.get_as("acme", "/api/schedules").bearer_auth(ADMIN);
    problem(with_token.send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn open_access_ends_if_a_proxy_may_be_in_between() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let known = Known::default();
    let mut operators = Document::of(&api).await.operations();
    operators.retain(|operation| ["reader", "admin", "service"].contains(&operation.audience.as_str()));
    let foreign = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=203.0.113.7"),
        ("host", "tidegate.example"),
        ("host", "127.0.0.1.evil.example:8080"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ];
    for (name, value) in foreign {
        for operation in &operators {
            let answer = operation.request(&api, &known).header(name, value).send().await.unwrap();
            problem(answer, 403, "forbidden").await;
        }
        let answer = api.get_as("acme", "/api/schedules").header(name, value).send().await.unwrap();
        problem(answer, 401, "unauthorized").await;
    }
    // A client that sends an API key means the tenant, even if it could be an operator.
    let with_key = api.request(Method::GET, "/api/tenants/acme").bearer_auth("tk_unknown");
    problem(with_key.send().await.unwrap(), 401, "unauthorized").await;
    for (name, value) in [("host", "localhost:8080"), ("host", "[::1]:8080"), ("origin", "http://localhost:3000")] {
        let answer = api.request(Method::GET, "/api/queue").header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}: {value}");
    }
    success_json(api.get_as("acme", "/api/schedules")).await;
}

#[tokio::test]
async fn trusted_proxies_end_the_open_tour() {
    let api = Api::start_with(&[("TIDEGATE_TRUSTED_PROXIES", "127.0.0.1/32")]).await;
    problem(api.request(Method::GET, "/api/queue").send().await.unwrap(), 403, "forbidden").await;
    problem(api.get_as("acme", "/api/schedules").send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_request_without_a_host_or_with_a_foreign_one_is_not_local() {
    let api = Api::start().await;
    let foreign = [
        "GET /api/cache HTTP/1.0\r\n\r\n",
        "GET http://evil.example/api/cache HTTP/1.0\r\n\r\n",
        "GET http://evil.example/api/cache HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "GET /api/cache HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
    ];
    let local = [
        "GET http://localhost/api/cache HTTP/1.0\r\n\r\n",
        "GET http://localhost/api/cache HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        "GET /api/cache HTTP/1.0\r\nhost: localhost\r\n\r\n",
    ];
    for (requests, status) in [(&foreign[..], " 403 "), (&local[..], " 200 ")] {
        for request in requests {
            let mut connection = TcpStream::connect(api.url.trim_start_matches("http://")).await.expect("a connection");
            connection.write_all(request.as_bytes()).await.expect("a request");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.lines().next().is_some_and(|line| line.contains(status)), "{request}: {answer}");
        }
    }
}
