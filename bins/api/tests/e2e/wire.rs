//! What every answer bears, whatever it is about.

use std::collections::BTreeSet;
use std::io::Read;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{Api, header, schedule, success_json};

const DOCUMENT: &str = "/openapi.json";
const ADMIN: &str = "admin-token-0123456789";

/// Every path of the document, with unknown ids, and one unknown path. Pages have headers of their
/// own, and any cache may keep the document.
async fn paths(api: &Api) -> BTreeSet<String> {
    let document = api.json(DOCUMENT).await;
    let filled = document["paths"].as_object().expect("paths").keys().map(|path| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part });
        parts.collect::<Vec<_>>().join("/")
    });
    filled.filter(|path| path != DOCUMENT).chain(["/nowhere".to_owned()]).collect()
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
    let paths = paths(&api).await;
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
async fn refused_requests_get_the_headers_too() {
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", "3/minute")]).await;
    let mut last = 0;
    for _ in 0..4 {
        let answer = api.request(Method::GET, "/api/queue").send().await.expect("an answer");
        last = answer.status().as_u16();
        assert_bears_the_headers(&answer, &Method::GET);
    }
    assert_eq!(last, 429);
}

/// The encodings that a client accepts, and the one it gets if compression is worthwhile.
const WISHES: [(Option<&str>, Option<&str>); 13] = [
    (None, None),
    (Some("identity"), None),
    (Some("gzip"), Some("gzip")),
    (Some("br"), Some("br")),
    (Some("zstd"), Some("zstd")),
    (Some("gzip, br, zstd"), Some("zstd")),
    (Some("gzip;q=0.9, br;q=0.5, zstd;q=0"), Some("gzip")),
    (Some("gzip;q=0, br;q=0.5"), Some("br")),
    (Some("identity;q=0"), None),
    (Some("*;q=0"), None),
    (Some("*"), None),
    (Some("br;q=1.5"), None),
    (Some("lzma, ;;q="), None),
];

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "" => plain.extend_from_slice(bytes),
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip")),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain).expect("brotli")),
        "zstd" => plain = zstd::decode_all(bytes).expect("zstd"),
        other => assert_eq!(other, "", "an encoding that was not requested"),
    }
    plain
}

/// An answer in an encoding: its headers that matter, and its body decoded.
struct Sent {
    status: u16,
    coding: String,
    etag: String,
    vary: String,
    length: String,
    body: Vec<u8>,
}

async fn sent(api: &Api, method: Method, path: &str, wish: Option<&str>, known: Option<&str>) -> Sent {
    let request = api.request(method, path).header("x-tenant-id", "acme").header("x-request-id", "the-same");
    let request = wish.into_iter().fold(request, |request, wish| request.header("accept-encoding", wish));
    let request = known.into_iter().fold(request, |request, etag| request.header("if-none-match", etag));
    let answer = request.send().await.expect("an answer");
    let told = |name| header(&answer, name);
    let (status, coding, etag) = (answer.status().as_u16(), told("content-encoding"), told("etag"));
    let (vary, length) = (told("vary"), told("content-length"));
    let body = answer.bytes().await.expect("a body");
    Sent { status, body: decoded(if body.is_empty() { "" } else { &coding }, &body), coding, etag, vary, length }
}

async fn api_with_long_and_short(variables: &[(&str, &str)]) -> (Api, String) {
    let api = Api::start_with(variables).await;
    api.create_tenant("acme", "enterprise").await;
    let mut short = String::new();
    for number in 0..10 {
        let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
        let made = success_json(request.json(&schedule(&format!("schedule {number}")))).await;
        short = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
    }
    (api, short)
}

#[tokio::test]
async fn in_every_encoding_the_same_is_sent() {
    let (api, short) = api_with_long_and_short(&[]).await;
    let (long, nowhere) = ("/api/schedules", format!("/{}", "n".repeat(1100)));
    let plain = sent(&api, Method::GET, long, None, None).await;
    assert!(plain.body.len() > 1024 && plain.etag.starts_with("W/\""), "{} {}", plain.body.len(), plain.etag);
    let plain_short = sent(&api, Method::GET, &short, None, None).await;
    for (wish, coding) in WISHES {
        let coding = coding.unwrap_or_default();
        let whole = sent(&api, Method::GET, long, wish, None).await;
        assert_eq!((whole.status, &*whole.coding), (200, coding), "{wish:?}");
        assert_eq!((&whole.body, &whole.etag), (&plain.body, &plain.etag), "{wish:?}");
        assert_eq!(whole.length.is_empty(), !coding.is_empty(), "{wish:?}: {}", whole.length);

        let head = sent(&api, Method::HEAD, long, wish, None).await;
        assert_eq!((head.status, &*head.coding, head.body.len()), (200, coding, 0), "{wish:?}");
        assert_eq!((&head.etag, &head.vary, &head.length), (&whole.etag, &whole.vary, &whole.length), "{wish:?}");

        let unchanged = sent(&api, Method::GET, long, wish, Some(&whole.etag)).await;
        assert_eq!((unchanged.status, &*unchanged.coding, unchanged.body.len()), (304, "", 0), "{wish:?}");
        assert_eq!((&unchanged.etag, &unchanged.vary), (&whole.etag, &whole.vary), "{wish:?}");

        let refused = sent(&api, Method::GET, &nowhere, wish, None).await;
        assert_eq!((refused.status, &*refused.coding), (404, coding), "{wish:?}");
        let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
        assert_eq!((&problem["request_id"], &problem["status"]), (&json!("the-same"), &json!(404)), "{wish:?}");

        let small = sent(&api, Method::GET, &short, wish, None).await;
        assert_eq!((small.status, &*small.coding), (200, ""), "{wish:?}");
        assert_eq!((&small.body, &small.etag), (&plain_short.body, &plain_short.etag), "{wish:?}");

        for answer in [&whole, &head, &unchanged, &refused, &small] {
            let named = answer.vary.split(", ").filter(|name| *name == "accept-encoding").count();
            assert_eq!(named, 1, "{wish:?}, {}: {}", answer.status, answer.vary);
        }
        assert!(whole.vary.contains("authorization"), "{}", whole.vary);
    }
}

#[tokio::test]
async fn events_and_files_go_out_as_they_are() {
    let (api, _) = api_with_long_and_short(&[("TIDEGATE_HTTP_COMPRESS_ABOVE", "1B")]).await;
    let events =
        api.request(Method::GET, "/api/events").header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!((header(&events, "content-encoding"), header(&events, "vary")), (String::new(), String::new()));
    drop(events);
    let import = api.import_csv("acme", crate::harness::csv(3, &[2])).await;
    api.job_in_state(&import, "done").await;
    let rejects = sent(&api, Method::GET, &format!("/api/schedules/import/{import}/rejects"), Some("gzip"), None).await;
    assert_eq!((rejects.status, &*rejects.coding), (200, ""));
    assert!(rejects.body.starts_with(b"line,reason\n"));
}

#[tokio::test]
async fn compression_can_be_switched_off() {
    let (api, _) = api_with_long_and_short(&[("TIDEGATE_HTTP_COMPRESS_ABOVE", "0")]).await;
    let page = sent(&api, Method::GET, "/api/schedules", Some("gzip, br, zstd"), None).await;
    assert_eq!((&*page.coding, &*page.vary), ("", "authorization, cookie, x-tenant-id"));
}
