//! Validators, of the origin and of clients: RFC 9111, section 4.3, and RFC 9110, section 13.

use http::Method;

use crate::ground::{Ground, always, answer, date, with_status};

#[tokio::test]
async fn rfc9111_4_3_1_a_stale_response_is_validated_and_reused() {
    let ground = Ground::new(|request, call| match (call, request.headers().get("if-none-match")) {
        (0, None) => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\""), ("x-old", "1")]),
        (_, Some(tag)) if tag == "\"1\"" => with_status(304, &[("cache-control", "max-age=90"), ("x-new", "1")]),
        _ => with_status(400, &[]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    let got = ground.get(&[]).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "body"));
    assert_eq!(got.did(), "fwd=stale; fwd-status=304; ttl=90; stored");
    assert_eq!((got.header("x-old"), got.header("x-new")), (Some("1"), Some("1")));
    ground.pass(89);
    assert_eq!(ground.get(&[]).await.did(), "hit; ttl=1");
    assert_eq!(ground.calls(), 2);
}

#[tokio::test]
async fn rfc9111_4_3_3_a_new_response_replaces_the_stored_one() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("etag", &format!("\"{call}\""))]));
    ground.get(&[]).await;
    ground.pass(60);
    let got = ground.get(&[]).await;
    assert_eq!((got.body.as_str(), got.did()), ("1", "fwd=stale; ttl=60; stored"));
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn rfc9111_4_3_1_without_an_etag_the_response_is_validated_by_its_last_modified() {
    let ground = Ground::new(|request, _| match request.headers().get("if-modified-since") {
        None => answer("body", &[("cache-control", "max-age=60"), ("last-modified", &date(-100))]),
        Some(since) if *since == date(-100) => with_status(304, &[("cache-control", "max-age=60")]),
        Some(_) => with_status(400, &[]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    assert_eq!(ground.get(&[]).await.body, "body");
    assert_eq!(ground.calls(), 2);
}

#[tokio::test]
async fn rfc9111_4_3_4_a_304_for_another_response_is_ignored() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\"")]),
        _ => with_status(304, &[("etag", "\"2\""), ("cache-control", "max-age=60")]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    assert_eq!(ground.get(&[]).await.status, 502);
}

#[tokio::test]
async fn a_304_without_a_condition_is_an_error() {
    let ground = Ground::new(|_, _| with_status(304, &[("cache-control", "max-age=60")]));
    assert_eq!(ground.get(&[]).await.status, 502);
}

#[tokio::test]
async fn rfc9111_3_2_a_304_that_makes_it_private_ends_the_sharing() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\"")]),
        1 => with_status(304, &[("cache-control", "private")]),
        _ => answer("mine", &[("cache-control", "private")]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    let got = ground.get(&[]).await;
    assert_eq!((got.body.as_str(), got.header("cache-control")), ("body", Some("private")));
    assert_eq!(ground.get(&[]).await.body, "mine");
}

#[tokio::test]
async fn rfc9111_3_2_a_304_does_not_describe_another_body() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\""), ("content-type", "text/a")]),
        _ => with_status(304, &[("cache-control", "max-age=60"), ("content-type", "text/b"), ("content-length", "0")]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    let got = ground.get(&[]).await;
    assert_eq!((got.header("content-type"), got.header("content-length")), (Some("text/a"), None));
}

#[tokio::test]
async fn rfc9110_13_1_2_a_client_with_the_current_response_gets_a_304() {
    let ground = always(&[("cache-control", "max-age=60"), ("etag", "W/\"a,b\""), ("content-type", "text/a")]);
    ground.get(&[]).await;
    for (has, not_modified) in [
        ("W/\"a,b\"", true),
        ("\"a,b\"", true),
        ("\"x\", \"a,b\"", true),
        ("*", true),
        ("\"a\"", false),
        ("a,b", false),
        ("", false),
    ] {
        let got = ground.get(&[("if-none-match", has)]).await;
        assert_eq!(got.status == 304, not_modified, "{has}");
        assert_eq!(got.body.is_empty(), not_modified, "{has}");
        assert_eq!(got.header("content-type").is_none(), not_modified, "{has}");
        assert_eq!(got.header("etag"), Some("W/\"a,b\""));
    }
    assert_eq!(ground.calls(), 1);
}

#[tokio::test]
async fn rfc9110_13_1_3_a_time_counts_only_where_no_tag_is_named() {
    let ground = Ground::new(|_, call| {
        answer(call, &[("cache-control", "max-age=60"), ("etag", "\"1\""), ("last-modified", &date(-100))])
    });
    ground.get(&[]).await;
    for (headers, status) in [
        (vec![("if-modified-since", date(-100))], 304),
        (vec![("if-modified-since", date(-101))], 200),
        (vec![("if-modified-since", "never".to_owned())], 200),
        (vec![("if-modified-since", date(0)), ("if-none-match", "\"2\"".to_owned())], 200),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(ground.get(&headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_conditional_request_does_not_prevent_storage() {
    let ground = Ground::new(|request, _| match request.headers().contains_key("if-none-match") {
        true => with_status(304, &[]),
        false => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\"")]),
    });
    assert_eq!(ground.get(&[("if-none-match", "\"1\"")]).await.status, 304);
    assert_eq!(ground.get(&[]).await.did(), "hit; ttl=60");
}

#[tokio::test]
async fn validators_are_made_if_configured() {
    let ground = Ground::with(tidegate_cache::CacheLayerBuilder::make_validators, |request, _| {
        answer(request.uri().path(), &[("cache-control", "max-age=60")])
    });
    let first = ground.get(&[]).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(ground.get(&[("if-none-match", &tag)]).await.status, 304);
    let other = ground.send(Method::GET, "http://example.com/other", &[]).await;
    assert_ne!(other.header("etag"), Some(tag.as_str()));
}
