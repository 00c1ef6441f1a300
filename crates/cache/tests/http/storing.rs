//! Which responses are kept: RFC 9111, section 3.

use http::Method;

use crate::ground::{Ground, always, answer, date, with_status};

/// Whether the response to the first request answers the second one.
async fn is_kept(headers: &'static [(&'static str, &'static str)]) -> bool {
    let ground = always(headers);
    ground.get(&[]).await;
    ground.get(&[]).await.body == "0"
}

#[tokio::test]
async fn rfc9111_3_a_response_with_a_lifetime_is_stored() {
    assert!(is_kept(&[("cache-control", "max-age=60")]).await);
    assert!(is_kept(&[("cache-control", "s-maxage=60")]).await);
    assert!(is_kept(&[("cache-control", "max-age=0, s-maxage=60")]).await, "s-maxage goes before max-age");
    assert!(!is_kept(&[("cache-control", "max-age=60, s-maxage=0")]).await);
}

#[tokio::test]
async fn rfc9111_5_2_2_a_response_that_forbids_storage_is_not_stored() {
    for forbidden in ["no-store", "private", "no-cache", "PRIVATE", "private=\"x, y\"", "No-Cache=\"set-cookie\""] {
        let ground = Ground::new(move |_, call| {
            answer(call, &[("cache-control", &format!("max-age=60, {forbidden}")), ("cache-control", "public")])
        });
        ground.get(&[]).await;
        let second = ground.get(&[]).await;
        assert_eq!((second.body.as_str(), second.header("age")), ("1", None), "{forbidden}");
    }
}

#[tokio::test]
async fn rfc9111_4_2_1_expires_counts_from_date_and_an_invalid_date_has_passed() {
    for (expires, dated, kept) in
        [(60, 0, true), (0, 0, false), (-60, 0, false), (60, -30, true), (60, -300, true), (-1, -300, false)]
    {
        let ground = Ground::new(move |_, call| answer(call, &[("expires", &date(expires)), ("date", &date(dated))]));
        ground.get(&[]).await;
        assert_eq!(ground.get(&[]).await.body == "0", kept, "{expires} {dated}");
    }
    assert!(!is_kept(&[("expires", "0")]).await);
    assert!(!is_kept(&[("expires", "tomorrow")]).await);
    let ground = Ground::new(|_, call| answer(call, &[("expires", &date(600)), ("cache-control", "max-age=0")]));
    ground.get(&[]).await;
    assert_eq!(ground.get(&[]).await.body, "1", "max-age goes before Expires");
}

#[tokio::test]
async fn rfc9111_4_2_2_nothing_is_guessed() {
    assert!(!is_kept(&[]).await);
    assert!(!is_kept(&[("cache-control", "public")]).await);
    assert!(!is_kept(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("etag", "\"1\"")]).await);
}

#[tokio::test]
async fn a_lifetime_can_be_set_for_those_that_name_none() {
    let ground = Ground::with(
        |layer| layer.lifetime(|status| (status == 404).then_some(std::time::Duration::from_secs(300))),
        |request, call| match request.uri().path() {
            "/gone" => with_status(404, &[]),
            "/gone-private" => with_status(404, &[("cache-control", "private")]),
            _ => answer(call, &[]),
        },
    );
    for (path, calls) in [("/gone", 1), ("/there", 3), ("/gone-private", 5)] {
        for _ in 0..2 {
            ground.get_at(&format!("http://example.com{path}")).await;
        }
        assert_eq!(ground.calls(), calls, "{path}");
    }
}

#[tokio::test]
async fn rfc9111_3_only_responses_with_known_statuses_are_stored() {
    for (status, kept) in [(200, true), (301, true), (404, true), (410, true), (500, false), (206, false), (418, false)]
    {
        let ground = Ground::new(move |_, _| with_status(status, &[("cache-control", "public, max-age=60")]));
        for _ in 0..2 {
            assert_eq!(ground.get(&[]).await.status, status);
        }
        assert_eq!(ground.calls() == 1, kept, "{status}");
    }
}

#[tokio::test]
async fn rfc9111_3_5_a_response_to_an_authorized_request_is_stored_only_if_it_allows_that() {
    let authorized = [("authorization", "Bearer a")];
    let closed = always(&[("cache-control", "max-age=60")]);
    closed.get(&authorized).await;
    assert_eq!(closed.get(&[]).await.body, "1", "not given to another");
    assert_eq!(closed.get(&authorized).await.body, "2", "nor is what another got given to who is authorized");
    for open in ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"] {
        let ground = Ground::new(move |_, call| answer(call, &[("cache-control", open)]));
        ground.get(&authorized).await;
        assert_eq!(ground.get(&[("authorization", "Bearer b")]).await.body, "0", "{open}");
        assert_eq!(ground.get(&[]).await.body, "0", "{open}");
    }
}

#[tokio::test]
async fn rfc9111_7_3_a_response_that_sets_a_cookie_is_not_stored() {
    assert!(!is_kept(&[("cache-control", "public, max-age=60"), ("set-cookie", "id=1")]).await);
}

#[tokio::test]
async fn rfc9111_5_2_1_5_a_request_can_forbid_storage() {
    let ground = always(&[("cache-control", "max-age=60")]);
    assert_eq!(ground.get(&[("cache-control", "no-store")]).await.did(), "fwd=request");
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn a_body_above_the_cap_streams_through_and_is_not_stored() {
    for (cap, kept) in [(9, false), (10, true)] {
        let ground =
            Ground::with(|layer| layer.max_body(cap), |_, _| answer("0123456789", &[("cache-control", "max-age=60")]));
        for _ in 0..2 {
            assert_eq!(ground.get(&[]).await.body, "0123456789");
        }
        assert_eq!(ground.calls() == 1, kept);
    }
}

#[tokio::test]
async fn a_body_shorter_than_its_content_length_is_not_stored() {
    assert!(!is_kept(&[("cache-control", "max-age=60"), ("content-length", "7")]).await);
    assert!(is_kept(&[("cache-control", "max-age=60"), ("content-length", "1")]).await);
}

#[tokio::test]
async fn headers_of_the_connection_are_not_stored_and_repeated_headers_are() {
    let ground = always(&[
        ("cache-control", "max-age=60"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("link", "</a>"),
        ("link", "</b>"),
    ]);
    ground.get(&[]).await;
    let got = ground.get(&[]).await;
    assert_eq!(got.header("connection"), None);
    assert_eq!(got.header("x-hop"), None);
    assert_eq!(got.header("keep-alive"), None);
    assert_eq!(got.headers.get_all("link").iter().collect::<Vec<_>>(), ["</a>", "</b>"]);
}

#[tokio::test]
async fn other_methods_pass() {
    let ground = always(&[("cache-control", "max-age=60")]);
    for method in [Method::POST, Method::OPTIONS, Method::PUT] {
        let got = ground.send(method, "http://example.com/thing", &[]).await;
        assert_eq!(got.did(), "fwd=method");
    }
    assert_eq!(ground.calls(), 3);
}
