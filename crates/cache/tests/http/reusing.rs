//! Use of kept responses: RFC 9111, sections 4 and 5; RFC 5861; RFC 9211.

use http::Method;

use crate::ground::{Ground, always, answer, date, with_status};

#[tokio::test]
async fn rfc9111_4_2_only_a_fresh_response_is_reused() {
    let ground = always(&[("cache-control", "max-age=60")]);
    ground.get(&[]).await;
    ground.pass(59);
    assert_eq!(ground.get(&[]).await.body, "0");
    ground.pass(1);
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn rfc9111_5_1_age_is_the_received_age_plus_the_time_in_the_cache() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("age", "10"), ("date", &date(0))]));
    ground.get(&[]).await;
    ground.pass(20);
    let got = ground.get(&[]).await;
    assert_eq!((got.header("age"), got.did()), (Some("30"), "hit; ttl=30"));
    assert_eq!(got.header("date"), Some(date(0).as_str()), "the origin's, not the cache's");
    ground.pass(30);
    assert_eq!(ground.get(&[]).await.body, "1", "its age counts against its lifetime");
}

#[tokio::test]
async fn rfc9111_4_2_3_an_old_date_is_age_and_an_absurd_age_is_old() {
    let ground = Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("date", &date(-50))]));
    assert_eq!(ground.get(&[]).await.header("age"), Some("50"));
    for age in ["18446744073709551615", "99999999999999999999999999"] {
        let ground = Ground::new(move |_, call| answer(call, &[("cache-control", "max-age=60"), ("age", age)]));
        ground.get(&[]).await;
        assert_eq!(ground.get(&[]).await.body, "1", "{age}");
    }
}

#[tokio::test]
async fn rfc9111_5_2_1_a_request_can_demand_a_newer_response() {
    for (directives, kept) in [
        ("no-cache", false),
        ("max-age=0", false),
        ("max-age=9", false),
        ("max-age=10", true),
        ("min-fresh=50", true),
        ("min-fresh=51", false),
        ("max-stale", true),
    ] {
        let ground = always(&[("cache-control", "max-age=60")]);
        ground.get(&[]).await;
        ground.pass(10);
        let got = ground.get(&[("cache-control", directives)]).await;
        assert_eq!(got.body == "0", kept, "{directives}");
        assert_eq!(got.did(), if kept { "hit; ttl=50" } else { "fwd=request" }, "{directives}");
    }
    let ground = always(&[("cache-control", "max-age=60")]);
    ground.get(&[]).await;
    assert_eq!(ground.get(&[("pragma", "no-cache")]).await.body, "1");
}

#[tokio::test]
async fn directives_of_requests_can_be_ignored() {
    let ground = Ground::with(tidegate_cache::CacheLayerBuilder::ignore_request_directives, |_, call| {
        answer(call, &[("cache-control", "max-age=60")])
    });
    ground.get(&[]).await;
    for directives in ["no-cache", "no-store", "max-age=0"] {
        assert_eq!(ground.get(&[("cache-control", directives), ("pragma", "no-cache")]).await.body, "0");
    }
}

#[tokio::test]
async fn rfc9111_5_2_1_7_only_if_cached_never_reaches_the_origin() {
    let ground = always(&[("cache-control", "max-age=60")]);
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(ground.get(&only).await.status, 504);
    assert_eq!(ground.calls(), 0);
    ground.get(&[]).await;
    assert_eq!(ground.get(&only).await.body, "0");
    ground.pass(60);
    assert_eq!(ground.get(&only).await.status, 504);
    assert_eq!(ground.calls(), 1);
}

#[tokio::test]
async fn rfc9110_9_3_2_head_is_answered_from_the_response_to_a_get() {
    let ground = always(&[("cache-control", "max-age=60"), ("x-said", "1")]);
    let head = async || ground.send(Method::HEAD, "http://example.com/thing", &[]).await;
    assert_eq!(head().await.did(), "fwd=uri-miss", "HEAD alone keeps nothing");
    ground.get(&[]).await;
    let got = head().await;
    assert_eq!((got.did(), got.body.as_str(), got.header("x-said")), ("hit; ttl=60", "", Some("1")));
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn rfc5861_3_a_stale_response_is_served_during_one_background_refresh() {
    let ground = always(&[("cache-control", "max-age=60, stale-while-revalidate=30")]);
    ground.get(&[]).await;
    ground.pass(70);
    let got = ground.get(&[]).await;
    assert_eq!((got.body.as_str(), got.did()), ("0", "hit; ttl=-10"));
    ground.asked(2).await;
    for _ in 0..10_000 {
        if ground.get(&[]).await.body == "1" {
            assert_eq!(ground.calls(), 2);
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("what was fetched behind never came");
}

#[tokio::test]
async fn rfc5861_3_no_stale_response_is_served_after_its_window() {
    let ground = always(&[("cache-control", "max-age=60, stale-while-revalidate=30")]);
    ground.get(&[]).await;
    ground.pass(90);
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn rfc5861_4_a_stale_response_is_served_if_the_origin_fails() {
    for (status, window, after, stands_in) in
        [(503, 100, 99, true), (500, 100, 99, true), (503, 100, 100, false), (404, 100, 99, false)]
    {
        let ground = Ground::new(move |_, call| match call {
            0 => answer("good", &[("cache-control", &format!("max-age=60, stale-if-error={window}"))]),
            _ => with_status(status, &[]),
        });
        ground.get(&[]).await;
        ground.pass(60 + after);
        let got = ground.get(&[]).await;
        assert_eq!(got.body == "good", stands_in, "{status} {after}");
        if stands_in {
            let said = format!("fwd=stale; fwd-status={status}; ttl=-{after}; detail=\"stale-if-error\"");
            assert_eq!(got.did(), said);
        } else {
            assert_eq!(got.status, status);
        }
    }
}

#[tokio::test]
async fn rfc9111_5_2_2_2_must_revalidate_forbids_stale_responses_despite_other_directives() {
    for forbidding in ["must-revalidate", "proxy-revalidate"] {
        let ground = Ground::new(move |_, call| match call {
            0 => answer(
                "good",
                &[(
                    "cache-control",
                    &format!("max-age=60, stale-if-error=100, stale-while-revalidate=100, {forbidding}"),
                )],
            ),
            _ => with_status(503, &[]),
        });
        ground.get(&[]).await;
        ground.pass(61);
        assert_eq!(ground.get(&[]).await.status, 503, "{forbidding}");
    }
}

#[tokio::test]
async fn rfc9110_14_a_range_request_passes_and_its_response_is_not_stored() {
    let ground = Ground::new(|request, call| match request.headers().contains_key("range") {
        true => with_status(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-0/9")]),
        false => answer(call, &[("cache-control", "max-age=60")]),
    });
    let ranged = ground.get(&[("range", "bytes=0-0")]).await;
    assert_eq!((ranged.status.as_u16(), ranged.did()), (206, "fwd=partial"));
    assert_eq!(ground.get(&[]).await.body, "1");
    assert_eq!(ground.get(&[("range", "bytes=0-0")]).await.status, 206);
    assert_eq!(ground.get(&[]).await.body, "1");
}

#[tokio::test]
async fn rfc9211_the_status_is_appended_to_that_of_other_caches() {
    let ground = Ground::with(
        |layer| layer.name("edge-1; hit"),
        |_, _| answer("", &[("cache-control", "max-age=60"), ("cache-status", "Inner; hit")]),
    );
    let said = |got: crate::ground::Got| {
        got.headers.get_all("cache-status").iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(ground.get(&[]).await), ["Inner; hit", "edge-1hit; fwd=uri-miss; ttl=60; stored"]);
    assert_eq!(said(ground.get(&[]).await), ["Inner; hit", "edge-1hit; hit; ttl=60"]);
}

#[tokio::test]
async fn rfc9211_a_response_that_is_not_stored_has_the_reason() {
    let ground = always(&[("cache-control", "private, max-age=60")]);
    assert_eq!(ground.get(&[]).await.did(), "fwd=uri-miss; detail=\"private\"");
}

#[tokio::test]
async fn a_stored_response_is_dropped_when_the_next_one_is_private() {
    let ground = Ground::new(|_, call| match call {
        1 => answer(call, &[("cache-control", "private")]),
        2 => with_status(503, &[]),
        _ => answer(call, &[("cache-control", "max-age=1, stale-if-error=600")]),
    });
    assert_eq!(ground.get(&[]).await.body, "0");
    ground.pass(2);
    assert_eq!(ground.get(&[]).await.body, "1");
    assert_eq!(ground.get(&[]).await.status, 503, "no stale response is served");
}
