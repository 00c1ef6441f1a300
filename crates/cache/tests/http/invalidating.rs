//! Events that drop a kept response: RFC 9111, section 4.4, tags, and the cache itself.

use http::{Method, Request};
use http_body_util::Full;
use tidegate_cache::{Key, ResponseTags, Tag, TieredCache};

use crate::ground::{Ground, answer, with_status};

fn ground(status: u16, headers: &'static [(&'static str, &'static str)]) -> Ground {
    Ground::new(move |request, call| match *request.method() {
        Method::GET => answer(call, &[("cache-control", "max-age=60"), ("vary", "accept")]),
        _ => with_status(status, headers),
    })
}

#[tokio::test]
async fn rfc9111_4_4_a_change_drops_every_variant_of_its_target() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::from_bytes(b"PURGE").unwrap()] {
        let ground = ground(204, &[]);
        ground.get(&[("accept", "a")]).await;
        ground.get(&[("accept", "b")]).await;
        ground.send(method.clone(), "http://example.com/thing", &[]).await;
        assert_eq!(ground.get(&[("accept", "a")]).await.body, "3", "{method}");
        assert_eq!(ground.get(&[("accept", "b")]).await.body, "4", "{method}");
    }
}

#[tokio::test]
async fn rfc9111_4_4_a_change_that_failed_or_was_of_another_target_drops_nothing() {
    for (status, target, kept) in [
        (200, "http://example.com/thing", false),
        (303, "http://example.com/thing", false),
        (404, "http://example.com/thing", true),
        (500, "http://example.com/thing", true),
        (200, "http://example.com/thing?x", true),
        (200, "http://example.org/thing", true),
        (200, "https://example.com/thing", true),
    ] {
        let ground = ground(status, &[]);
        ground.get(&[]).await;
        ground.send(Method::POST, target, &[]).await;
        assert_eq!(ground.get(&[]).await.body == "0", kept, "{status} {target}");
    }
}

#[tokio::test]
async fn rfc9111_4_4_a_change_drops_the_locations_that_it_names_on_its_origin() {
    for (named, kept) in [
        (("location", "/thing"), false),
        (("content-location", "http://EXAMPLE.com:80/thing"), false),
        (("location", "http://example.org/thing"), true),
        (("location", "//example.org/thing"), true),
        (("location", "/things"), true),
    ] {
        let ground = Ground::new(move |request, call| match *request.method() {
            Method::GET => answer(call, &[("cache-control", "max-age=60")]),
            _ => with_status(201, &[named]),
        });
        ground.get(&[]).await;
        ground.send(Method::POST, "http://example.com/collection", &[]).await;
        assert_eq!(ground.get(&[]).await.body == "0", kept, "{named:?}");
    }
}

#[tokio::test]
async fn tags_of_a_header_and_of_an_extension_drop_a_response_and_are_not_sent_on() {
    for tag in [Tag::new("list"), Tag::of(["user", " 7"]), Tag::new("mine")] {
        let ground = Ground::new(|_, call| {
            let mut answer = answer(call, &[("cache-control", "max-age=60"), ("cache-tag", "list, user: 7")]);
            answer.extensions_mut().insert(ResponseTags(vec![Tag::new("mine")]));
            answer
        });
        assert_eq!(ground.get(&[]).await.header("cache-tag"), None);
        assert_eq!(ground.get(&[]).await.header("cache-tag"), None);
        ground.cache.invalidate_tag(&Tag::new("other")).await.unwrap();
        assert_eq!(ground.get(&[]).await.body, "0");
        ground.cache.invalidate_tag(&tag).await.unwrap();
        assert_eq!(ground.get(&[]).await.body, "1", "{tag}");
    }
}

#[tokio::test]
async fn a_tag_of_a_header_is_the_tag_of_the_same_parts() {
    let long = Tag::of(["shop", &"x".repeat(300)]);
    let cases = [
        ("shop:a", Tag::of(["shop", "a"])),
        ("shop:a:7", Tag::of(["shop", "a", "7"])),
        ("a=b", Tag::new("a=b")),
        ("100%", Tag::new("100%")),
        ("shop%3Aa", Tag::new("shop:a")),
        ("#1", Tag::new("#1")),
        (long.as_str(), long.clone()),
        (&format!("shop:{}", "x".repeat(300)), long.clone()),
    ];
    for (header, tag) in cases {
        let named = header.to_owned();
        let ground =
            Ground::new(move |_, call| answer(call, &[("cache-control", "max-age=60"), ("cache-tag", &named)]));
        assert_eq!(ground.get(&[]).await.body, "0");
        ground.cache.invalidate_tag(&tag).await.unwrap();
        assert_eq!(ground.get(&[]).await.body, "1", "Cache-Tag: {header}");
    }
}

#[tokio::test]
async fn tags_are_not_sent_on_even_if_the_response_is_not_stored() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-tag", "secret-name")]));
    for (method, headers) in [(Method::GET, vec![]), (Method::GET, vec![("range", "bytes=0-")]), (Method::POST, vec![])]
    {
        let got = ground.send(method, "http://example.com/thing", &headers).await;
        assert_eq!(got.header("cache-tag"), None);
    }
}

#[tokio::test]
async fn pattern_class_and_clear_drop_stored_responses() {
    async fn drop_it(cache: &TieredCache, how: usize) {
        match how {
            0 => cache.clear().await.unwrap(),
            1 => assert!(cache.invalidate_class("api").await.unwrap()),
            _ => {
                let below = Key::builder("http").part("").part("http").part("example.com").below().unwrap();
                assert_eq!(cache.invalidate_pattern(&below).await.unwrap(), 1);
            }
        }
    }
    for how in 0..3 {
        let ground = ground(200, &[]);
        ground.get(&[]).await;
        drop_it(&ground.cache, how).await;
        assert_eq!(ground.get(&[]).await.body, "1");
    }
}

#[tokio::test]
async fn scopes_share_and_drop_no_responses_of_one_another() {
    let ground = Ground::with(
        |layer| layer.scope(|request| Some(request.headers.get("x-tenant")?.to_str().ok()?.to_owned())),
        |request, call| match *request.method() {
            Method::GET => answer(call, &[("cache-control", "max-age=60")]),
            _ => with_status(204, &[]),
        },
    );
    // Ids that would meet if parts were strung together.
    let ids = ["a", "a:http", "a*", "", "%61", "A"];
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(ground.get(&[("x-tenant", id)]).await.body, index.to_string(), "{id}");
    }
    ground.send(Method::PUT, "http://example.com/thing", &[("x-tenant", "a")]).await;
    for (index, id) in ids.iter().enumerate().skip(1) {
        assert_eq!(ground.get(&[("x-tenant", id)]).await.body, index.to_string(), "{id}");
    }
    assert_eq!(ground.get(&[("x-tenant", "a")]).await.did(), "fwd=uri-miss; ttl=60; stored");
    assert_eq!(ground.get(&[]).await.did(), "fwd=bypass", "without a scope nothing is kept");
    let nobody = Request::get("http://example.com/thing").body(Full::default()).unwrap();
    assert_eq!(ground.call(nobody).await.did(), "fwd=bypass");
}
