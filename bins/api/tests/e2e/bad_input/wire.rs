//! Headers and bytes that no client library would send.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{Target, connect, refused, rest, send};
use crate::harness::{header, problem};

/// Sends a request with a path as it is, which a client library would mend first.
async fn get_raw(target: &Target, path: &str) -> (StatusCode, String) {
    let mut connection = connect(target).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let answer = rest(connection).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer)
}

#[tokio::test]
async fn every_route_needs_one_host() {
    let target = Target::start().await;
    for path in
        ["/livez", "/readyz", "/startupz", "/health", "/metrics", "/openapi.json", "/api/schedules", "/dashboard"]
    {
        for hosts in ["", "host: localhost\r\nhost: localhost\r\n", "host: a/b\r\n", "host: user@localhost\r\n"] {
            let mut connection = connect(&target).await;
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
            connection.write_all(request.as_bytes()).await.expect("a request");
            let answer = rest(connection).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} with {hosts:?}: {answer}");
        }
        let mut connection = connect(&target).await;
        connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.expect("a request");
        let answer = rest(connection).await;
        assert!(!answer.starts_with("HTTP/1.0 400"), "HTTP/1.0 needs none at {path}: {answer}");
    }
}

#[tokio::test]
async fn percent_encoded_junk_in_paths() {
    let target = Target::start().await;
    let prefixes =
        ["/api/schedules/", "/api/tenants/", "/api/queue/", "/api/queue/import/jobs/", "/api/schedules/import/"];
    for prefix in prefixes.into_iter().chain(["/api/rate-limit/tenants/", "/"]) {
        for junk in [
            "%",
            "%zz",
            "%00",
            "%ff",
            "%c3%28",
            "%f0%9f",
            "%2e%2e%2f",
            "%2F%2F",
            "%0d%0aX-Evil:%201",
            "%25%30%30",
            "..;/",
        ] {
            let (status, answer) = get_raw(&target, &format!("{prefix}{junk}")).await;
            assert!([400, 404].contains(&status.as_u16()), "{prefix}{junk}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains("application/problem+json"), "{prefix}{junk}: {answer}");
            assert!(!head.to_lowercase().contains("x-evil"), "{answer}");
            let body: Value = serde_json::from_str(body).expect("JSON");
            let id = body["request_id"].as_str().expect("a request id");
            assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
        }
    }
    for query in ["limit=%", "limit=%zz", "cursor=%ff", "%ff=1", "%00"] {
        let (status, answer) = get_raw(&target, &format!("/api/schedules?{query}")).await;
        assert!([400, 422].contains(&status.as_u16()), "{query}: {answer}");
        assert!(answer.contains("application/problem+json"), "{query}: {answer}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_header_of_a_hundred_kilobytes() {
    let target = Target::start().await;
    let huge = "x".repeat(100_000);
    let key = format!("tk_{huge}");
    refused(target.api.get_as(&huge, "/api/schedules"), 404, "unknown-tenant").await;
    refused(target.api.request(Method::GET, "/api/schedules").bearer_auth(&key), 401, "unauthorized").await;
    refused(target.get("/nowhere").header("x-request-id", &huge), 404, "not-found").await;
    refused(target.post("/api/schedules").header("content-type", &huge), 415, "unsupported-media-type").await;
    let known = send(target.get("/api/schedules").header("if-none-match", &huge)).await;
    assert_eq!(known.status(), 200);
    let forwarded = send(target.api.request(Method::GET, "/api/queue").header("x-forwarded-for", &huge)).await;
    problem(forwarded, 403, "forbidden").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_request_id_that_could_confuse_a_log_is_replaced() {
    let target = Target::start().await;
    for bad in ["two words", "a;b", &"x".repeat(65), "a\"b", "{}"] {
        let answer = send(target.get("/nowhere").header("x-request-id", bad)).await;
        assert_ne!(header(&answer, "x-request-id"), bad);
        problem(answer, 404, "not-found").await;
    }
    let answer = send(target.get("/nowhere").header("x-request-id", "trace-42_a.b")).await;
    assert_eq!(problem(answer, 404, "not-found").await["request_id"], "trace-42_a.b");
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_is_not_http_at_all() {
    let target = Target::start().await;
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    let noise: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/schedules HTTP/1.1\r\ncontent-length: minus one\r\n\r\n",
        b"POST /api/schedules HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        long_line.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in noise {
        let mut connection = connect(&target).await;
        connection.write_all(bytes).await.unwrap();
        let answer = rest(connection).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
    }
    target.is_unharmed().await;
}
