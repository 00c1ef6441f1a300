//! Answers that do not affect kept responses: a client was refused, or the status is unknown.

use http::StatusCode;

use crate::ground::{Ground, answer, with_status};

const REFUSALS: [u16; 10] = [400, 401, 403, 406, 416, 422, 425, 429, 431, 511];

#[tokio::test]
async fn rfc9111_4_3_3_a_refusal_leaves_the_stored_response() {
    for status in REFUSALS {
        let ground = Ground::new(move |request, call| match (call, request.headers().get("if-none-match")) {
            (0, _) => answer("body", &[("cache-control", "max-age=60"), ("etag", "\"1\"")]),
            (1, Some(_)) => with_status(status, &[("retry-after", "7"), ("cache-control", "max-age=60")]),
            (2, Some(_)) => with_status(304, &[("cache-control", "max-age=60")]),
            _ => with_status(500, &[]),
        });
        ground.get(&[]).await;
        ground.pass(60);
        let got = ground.get(&[]).await;
        assert_eq!((got.status.as_u16(), got.header("retry-after")), (status, Some("7")));
        assert_eq!(got.did(), "fwd=stale; detail=\"status\"");
        // The next request validates the response that is still kept.
        let got = ground.get(&[]).await;
        assert_eq!((got.body.as_str(), got.did()), ("body", "fwd=stale; fwd-status=304; ttl=60; stored"), "{status}");
    }
}

#[tokio::test]
async fn a_refusal_during_a_background_refresh_leaves_the_stale_response() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60, stale-while-revalidate=600")]),
        _ => with_status(429, &[]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    for calls in 2..5 {
        assert_eq!(ground.get(&[]).await.body, "body");
        ground.asked(calls).await;
        ground.pass(10);
    }
}

#[tokio::test]
async fn a_refusal_is_no_failure_of_the_origin() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60, stale-if-error=600")]),
        1 => with_status(429, &[]),
        _ => with_status(503, &[]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    assert_eq!(ground.get(&[]).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ground.get(&[]).await.body, "body", "the stale response is served if the origin fails");
}

#[tokio::test]
async fn a_404_removes_the_stored_response() {
    let ground = Ground::new(|_, call| match call {
        0 => answer("body", &[("cache-control", "max-age=60, stale-if-error=600")]),
        1 => with_status(404, &[]),
        _ => with_status(503, &[]),
    });
    ground.get(&[]).await;
    ground.pass(60);
    assert_eq!(ground.get(&[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ground.get(&[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}
