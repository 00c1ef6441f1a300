//! Attackers that try to show other clients wrong responses, or none.

use http::Request;
use http_body_util::Full;
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
async fn poisoning_by_a_header_that_the_origin_trusts_reaches_only_its_sender() {
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
async fn a_custom_header_can_be_part_of_the_key() {
    let ground = Ground::with(
        |layer| layer.keyed("x-theme".parse().unwrap()).keyed("x-theme".parse().unwrap()),
        |request, _| answer(format!("{:?}", request.headers().get("x-theme")), &[("cache-control", "max-age=60")]),
    );
    ground.get(&[("x-theme", "<script>")]).await;
    assert_eq!(ground.get(&[]).await.body, "None");
}

#[tokio::test]
async fn deception_by_a_path_that_looks_static_stores_no_private_response() {
    let ground = Ground::new(|request, _| {
        answer(request.headers().get("cookie").map_or("nobody", |cookie| cookie.to_str().unwrap()), &[])
    });
    for path in ["/account/x.css", "/account;a.js", "/account%2f..%2fstatic/a.png", "/static/..%2faccount?x.jpg"] {
        let uri = format!("http://example.com{path}");
        let victim = Request::get(&uri).header("cookie", "session=victim").body(Full::default()).unwrap();
        assert_eq!(ground.call(victim).await.body, "session=victim");
        assert_eq!(ground.get_at(&uri).await.body, "nobody", "{path}");
    }
}

#[tokio::test]
async fn requests_that_the_origin_distinguishes_have_different_keys() {
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

/// A request for `target` in this form; `host` is the header, if there is one.
fn form(method: &str, target: &str, host: Option<&str>) -> crate::ground::Asked {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    request.body(Full::default()).unwrap()
}

/// Forms of a request for `/` of one host that a service can distinguish.
const FORMS: [(&str, Option<&str>); 9] = [
    ("/", Some("example.com")),
    ("/", Some("evil.example/@example.com")),
    ("/", Some("u:p@example.com")),
    ("/", Some("example.com:80")),
    ("/", Some("EXAMPLE.com")),
    ("http://example.com:80/", None),
    ("http://u:p@example.com/", None),
    ("http://example.com/", Some("evil.example")),
    ("http://example.com/", Some("evil.example:80")),
];

/// Like frameworks: by the header if there is one.
fn linking() -> Ground {
    Ground::new(|request, _| {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let host = host.or_else(|| Some(request.uri().authority()?.to_string())).unwrap_or_default();
        answer(format!("https://{host}/login"), &[("cache-control", "max-age=60")])
    })
}

#[tokio::test]
async fn poisoning_by_the_form_of_the_host_reaches_only_its_sender() {
    for (target, host) in FORMS {
        let ground = linking();
        let poison = ground.call(form("GET", target, host)).await;
        for (other, named) in FORMS {
            let expected = linking().call(form("GET", other, named)).await.body;
            assert_eq!(
                ground.call(form("GET", other, named)).await.body,
                expected,
                "{other} {named:?} after {poison:?}"
            );
        }
    }
}

#[tokio::test]
async fn several_lines_of_the_host_are_another_key() {
    let ground = linking();
    let mut twice = form("GET", "/", Some("example.com"));
    twice.headers_mut().append("host", "evil.example".parse().unwrap());
    ground.call(twice).await;
    ground.call(form("GET", "/", Some("example.com"))).await;
    assert_eq!(ground.calls(), 2);
}

#[tokio::test]
async fn a_change_in_one_form_of_the_host_drops_the_responses_of_all_forms() {
    for (target, host) in FORMS {
        let ground = linking();
        for (other, named) in FORMS {
            ground.call(form("GET", other, named)).await;
        }
        assert_eq!(ground.calls(), FORMS.len());
        ground.call(form("PUT", target, host)).await;
        for (other, named) in FORMS {
            ground.call(form("GET", other, named)).await;
        }
        assert_eq!(ground.calls(), 2 * FORMS.len() + 1, "{target} {host:?}");
    }
}

#[tokio::test]
async fn the_plain_form_of_a_host_is_one_key_and_other_hosts_are_others() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    for (target, host) in
        [("/", Some("example.com")), ("http://example.com/", None), ("http://example.com", Some("example.com"))]
    {
        assert_eq!(ground.call(form("GET", target, host)).await.body, "0", "{target}");
    }
    for (uri, call) in
        [("https://example.com/", "1"), ("http://example.com:8080/", "2"), ("http://example.com.evil/", "3")]
    {
        assert_eq!(ground.get_at(uri).await.body, call, "{uri}");
    }
}

#[tokio::test]
async fn values_of_keyed_headers_are_not_readable_in_keys() {
    let ground = Ground::with(
        |layer| layer.keyed("x-api-key".parse().unwrap()),
        |_, call| answer(call, &[("cache-control", "max-age=60")]),
    );
    for key in ["s3cr3t-of-ann", "s3cr3t-of-bob"] {
        ground.get(&[("x-api-key", key)]).await;
        ground.get(&[("x-api-key", key)]).await;
    }
    let all = tidegate_cache::Pattern::parse("*").unwrap();
    let keys = ground.cache.inspect_matching(&all, None, 10);
    assert_eq!((ground.calls(), keys.len()), (2, 2));
    assert!(keys.iter().all(|entry| !entry.key.as_str().contains("s3cr3t")), "{keys:?}");
}

#[tokio::test]
async fn a_response_with_a_huge_vary_is_not_stored_and_costs_little() {
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
async fn a_response_with_huge_headers_is_not_stored() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("x-huge", &"x".repeat(70_000))]));
    ground.get(&[]).await;
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn credentials_that_select_a_variant_are_not_stored_readable() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "public, max-age=60"), ("vary", "authorization")]));
    ground.get(&[("authorization", "Bearer first-secret")]).await;
    ground.get(&[("authorization", "Bearer second-secret")]).await;
    assert_eq!(ground.get(&[("authorization", "Bearer first-secret")]).await.body, "0");
    assert_eq!(ground.get(&[("authorization", "Bearer third-secret")]).await.body, "2");
}

#[tokio::test]
async fn a_get_with_an_undeclared_body_passes() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    let fat = Request::get("http://example.com/thing").body(Full::from("as HTTP/2 sends it")).unwrap();
    assert_eq!(ground.call(fat).await.did(), "fwd=bypass; detail=\"body\"");
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn a_get_with_a_body_passes() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60")]));
    for headers in [[("content-length", "5")], [("transfer-encoding", "chunked")]] {
        assert_eq!(ground.get(&headers).await.did(), "fwd=bypass; detail=\"body\"");
    }
    assert_eq!(ground.get(&[("content-length", "0")]).await.did(), "fwd=uri-miss; ttl=60; stored");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Nothing breaks for any input of either side, and a response with `private` or `no-store`
    /// anywhere is never returned twice.
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
