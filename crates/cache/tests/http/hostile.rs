//! Those who would have others see what is not theirs, or nothing at all.

use http::Request;
use proptest::prelude::*;

use crate::ground::{Ground, answer};

/// A framework that builds links by the host that a header names.
fn trusting() -> Ground {
    Ground::new(|request, _| {
        let host = request.headers().get("x-forwarded-host").map_or("example.com", |host| host.to_str().unwrap());
        let path = request.headers().get("x-original-url").map_or(request.uri().path(), |path| path.to_str().unwrap());
        answer(format!("https://{host}{path}"), &[("cache-control", "max-age=60")])
    })
}

#[tokio::test]
async fn poisoning_by_a_header_that_the_origin_trusts_reaches_who_sends_it_alone() {
    for (name, value) in [("x-forwarded-host", "evil.example"), ("x-original-url", "/admin"), ("X-Rewrite-Url", "/x")] {
        let ground = trusting();
        ground.get(&[(name, value)]).await;
        assert_eq!(ground.get(&[]).await.body, "https://example.com/thing", "{name}");
    }
}

#[tokio::test]
async fn poisoning_by_a_second_line_of_a_header_is_another_key() {
    let ground = Ground::new(|request, _| {
        let last = request.headers().get_all("x-forwarded-host").iter().next_back().map(|host| host.to_str().unwrap());
        answer(last.unwrap_or("none"), &[("cache-control", "max-age=60")])
    });
    ground.get(&[("x-forwarded-host", "a"), ("x-forwarded-host", "evil")]).await;
    assert_eq!(ground.get(&[("x-forwarded-host", "a")]).await.body, "a");
}

#[tokio::test]
async fn a_header_of_ones_own_can_be_part_of_the_key() {
    let ground = Ground::with(
        |layer| layer.keyed("x-theme".parse().unwrap()).keyed("x-theme".parse().unwrap()),
        |request, _| answer(format!("{:?}", request.headers().get("x-theme")), &[("cache-control", "max-age=60")]),
    );
    ground.get(&[("x-theme", "<script>")]).await;
    assert_eq!(ground.get(&[]).await.body, "None");
}

#[tokio::test]
async fn deception_by_a_path_that_looks_static_keeps_nothing_of_an_account() {
    let ground = Ground::new(|request, _| {
        answer(request.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap()), &[])
    });
    for path in ["/account/x.css", "/account;a.js", "/account%2f..%2fstatic/a.png", "/static/..%2faccount?x.jpg"] {
        let uri = format!("http://example.com{path}");
        let victim = Request::get(&uri).header("cookie", "session=victim").body(()).unwrap();
        assert_eq!(ground.call(victim).await.body, "session=victim");
        assert_eq!(ground.get_at(&uri).await.body, "nobody", "{path}");
    }
}

#[tokio::test]
async fn what_the_origin_can_tell_apart_is_told_apart() {
    let ground = Ground::new(|request, _| answer(request.uri(), &[("cache-control", "max-age=60")]));
    let paths =
        ["/a", "/A", "/%61", "/a/", "/a?", "/a?b", "/a?b=", "/a?c&b", "/a?b&c", "/a//", "/x/../a", "/a%2f", "/a%2F"];
    for path in paths {
        ground.get_at(&format!("http://example.com{path}")).await;
    }
    for path in paths {
        let uri = format!("http://example.com{path}");
        assert_eq!(ground.get_at(&uri).await.body, uri);
    }
    assert_eq!(ground.calls(), paths.len());
}

#[tokio::test]
async fn hosts_that_are_one_share_and_others_do_not() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    for uri in ["http://example.com/", "http://EXAMPLE.com/", "http://example.com:80", "http://u:p@example.com/"] {
        assert_eq!(ground.get_at(uri).await.body, "0", "{uri}");
    }
    let by_header = Request::get("/").header("host", "Example.com:80").body(()).unwrap();
    assert_eq!(ground.call(by_header).await.body, "0");
    for (uri, call) in
        [("https://example.com/", "1"), ("http://example.com:8080/", "2"), ("http://example.com.evil/", "3")]
    {
        assert_eq!(ground.get_at(uri).await.body, call, "{uri}");
    }
}

#[tokio::test]
async fn a_huge_vary_is_not_kept_and_costs_little() {
    for names in [9, 2_000] {
        let ground = Ground::new(move |_, call| {
            let vary: Vec<_> = (0..names).map(|index| format!("x-{index}")).collect();
            answer(call, &[("cache-control", "max-age=60"), ("vary", &vary.join(","))])
        });
        ground.get(&[]).await;
        assert_eq!(ground.get(&[]).await.body, "1", "{names}");
    }
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("vary", "é, accept")]));
    ground.get(&[]).await;
    assert_eq!(ground.get(&[]).await.body, "1", "a name that is none");
}

#[tokio::test]
async fn headers_that_are_huge_are_not_kept() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("x-huge", &"x".repeat(70_000))]));
    ground.get(&[]).await;
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn credentials_that_select_are_not_kept_readable() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "public, max-age=60"), ("vary", "authorization")]));
    ground.get(&[("authorization", "Bearer first-secret")]).await;
    ground.get(&[("authorization", "Bearer second-secret")]).await;
    assert_eq!(ground.get(&[("authorization", "Bearer first-secret")]).await.body, "0");
    assert_eq!(ground.get(&[("authorization", "Bearer third-secret")]).await.body, "2");
}

#[tokio::test]
async fn a_get_with_a_body_passes() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    for headers in [[("content-length", "5")], [("transfer-encoding", "chunked")]] {
        assert_eq!(ground.get(&headers).await.did(), "fwd=bypass");
    }
    assert_eq!(ground.get(&[("content-length", "0")]).await.did(), "fwd=uri-miss; ttl=60; stored");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever either side says, nothing breaks, and what says `private` or `no-store` anywhere is never given twice.
    #[test]
    fn no_headers_make_the_layer_panic_or_share_what_is_private(
        control in "[ -~é]{0,40}",
        age in "[ -~]{0,24}",
        expires in "[ -~]{0,30}",
        vary in "[ -~]{0,20}",
        asked in "[ -~]{0,40}",
        forbidden in prop::sample::select(vec!["", "private", "NO-STORE", "no-store=1"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let says = forbidden;
            let ground = Ground::new(move |_, call| {
                let mut answer = answer(call, &[("cache-control", says)]);
                for (name, value) in [("cache-control", &control), ("age", &age), ("expires", &expires), ("vary", &vary)] {
                    answer.headers_mut().append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
                answer
            });
            ground.get(&[("cache-control", &asked), ("if-none-match", &asked), ("if-modified-since", &asked)]).await;
            let second = ground.get(&[]).await;
            if !forbidden.is_empty() {
                assert!(second.header("age").is_none() || !second.did().starts_with("hit"), "{second:?}");
                assert_eq!(ground.calls(), 2 - usize::from(asked.contains("only-if-cached")));
            }
        });
    }
}
