//! Several limiters in one layer, chosen for each request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderValue, Request, Response, StatusCode};
use tidegate_ratelimit::{
    ByAddress, ByApiKey, ByKey, Charge, Charges, Decision, Decisions, LeakyBucket, Limiter, ManualClock, MemoryLimiter,
    Quota, RateLimitLayer, RequestKey, SlidingWindow,
};
use tower::{Layer, ServiceExt, service_fn};

fn limiter(name: &str, limit: u64) -> Arc<dyn Limiter> {
    let algorithm = SlidingWindow::new(Quota::per_minute(limit).unwrap());
    Arc::new(MemoryLimiter::builder(name, algorithm).clock(ManualClock::default()).build())
}

fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

/// Responds with the decisions in the request's extensions.
async fn told(request: Request<()>) -> Result<Response<String>, Infallible> {
    let all = request.extensions().get::<Decisions>().cloned().unwrap_or_default();
    let one = request.extensions().get::<Decision>().map(Decision::remaining);
    let all: Vec<_> = all.iter().map(|(name, decision)| format!("{name}={}", decision.remaining())).collect();
    Ok(Response::new(format!("{} binding={one:?}", all.join(" "))))
}

async fn used(limiter: &Arc<dyn Limiter>, key: &str) -> u64 {
    let decision = limiter.peek(key, 0).await.unwrap();
    decision.limit() - decision.remaining()
}

#[tokio::test]
async fn each_route_has_its_limiter_and_its_cost() {
    let (reads, exports) = (limiter("reads", 10), limiter("exports", 50));
    let (cheap, dear) = (Arc::clone(&reads), Arc::clone(&exports));
    let policy = move |request: &Request<()>| match request.uri().path() {
        "/health" => Charges::none(),
        "/exports" => Charge::new(Arc::clone(&dear), "one").cost(20).into(),
        _ => Charge::new(Arc::clone(&cheap), "one").into(),
    };
    let service = RateLimitLayer::with_policy(policy).layer(service_fn(told));
    let ask = async |path: &str| service.clone().oneshot(get(path)).await.unwrap();
    assert_eq!(ask("/exports").await.headers()["ratelimit"], "\"exports\";r=30;t=60");
    assert_eq!(ask("/other").await.headers()["ratelimit"], "\"reads\";r=9;t=60");
    assert!(!ask("/health").await.headers().contains_key("ratelimit"));
    assert_eq!(ask("/exports").await.status(), StatusCode::OK);
    assert_eq!(ask("/exports").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((used(&reads, "one").await, used(&exports, "one").await), (1, 40));
}

#[tokio::test]
async fn all_limiters_are_told_to_the_service_and_to_the_client() {
    let policy = (
        ByKey::new(limiter("wide", 10), |_: &Request<()>| "a"),
        ByKey::new(limiter("narrow", 3), |_: &Request<()>| "b"),
    );
    let inner = RateLimitLayer::new(limiter("inner", 5), |_: &Request<()>| "c").x_headers();
    let service = RateLimitLayer::with_policy(policy).x_headers().layer(inner.layer(service_fn(told)));
    let response = service.oneshot(get("/")).await.unwrap();
    assert_eq!(response.body(), "wide=9 narrow=2 inner=4 binding=Some(2)");
    assert_eq!(response.headers().get_all("ratelimit").iter().count(), 3);
    let triple = ["limit", "remaining", "reset"].map(|name| response.headers()[&format!("x-ratelimit-{name}")].clone());
    assert_eq!(triple, ["3", "2", "60"]);
}

#[tokio::test]
async fn what_a_later_limiter_refuses_is_given_back_to_the_earlier() {
    let (wide, narrow, last) = (limiter("wide", 10), limiter("narrow", 1), limiter("last", 10));
    let policy = (
        ByKey::new(Arc::clone(&wide), |_: &Request<()>| "k"),
        ByKey::new(Arc::clone(&narrow), |_: &Request<()>| "k"),
        ByKey::new(Arc::clone(&last), |_: &Request<()>| "k"),
    );
    let service = RateLimitLayer::with_policy(policy).layer(service_fn(told));
    for expected in [200, 429, 429] {
        assert_eq!(service.clone().oneshot(get("/")).await.unwrap().status(), expected);
    }
    assert_eq!((used(&wide, "k").await, used(&narrow, "k").await, used(&last, "k").await), (1, 1, 1));
}

#[tokio::test]
async fn a_refusal_tells_nothing_that_was_given_back() {
    let (wide, narrow) = (limiter("wide", 1), limiter("narrow", 1));
    let _ = narrow.check("k", 1).await.unwrap();
    let policy =
        (ByKey::new(Arc::clone(&wide), |_: &Request<()>| "k"), ByKey::new(Arc::clone(&narrow), |_: &Request<()>| "k"));
    let response =
        RateLimitLayer::with_policy(policy).x_headers().layer(service_fn(told)).oneshot(get("/")).await.unwrap();
    assert_eq!((response.status(), used(&wide, "k").await), (StatusCode::TOO_MANY_REQUESTS, 0));
    let told: Vec<_> = response.headers().get_all("ratelimit").iter().collect();
    assert_eq!(told, ["\"narrow\";r=0;t=60"]);
    assert_eq!(response.headers().get_all("ratelimit-policy").iter().count(), 1);
}

/// Two limiters, as in the documentation of the layer.
#[tokio::test]
async fn invented_keys_do_not_get_past_the_address() {
    let by_address = ByAddress::new(|peer: &Extensions| peer.get::<SocketAddr>().map(SocketAddr::ip));
    let policy = (ByKey::new(limiter("address", 3), by_address), ByKey::new(limiter("key", 2), ByApiKey::bearer()));
    let service = RateLimitLayer::with_policy(policy).layer(service_fn(told));
    let mut served = 0;
    for nth in 0..10 {
        let mut request = get("/");
        request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 1)));
        let token = match nth % 3 {
            0 => None,
            1 => Some(format!("Bearer invented-{nth}").into_bytes()),
            _ => Some(b"Bearer \xff".to_vec()),
        };
        if let Some(token) = token {
            request.headers_mut().insert("authorization", HeaderValue::from_bytes(&token).unwrap());
        }
        served += u32::from(service.clone().oneshot(request).await.unwrap().status() == StatusCode::OK);
    }
    assert_eq!(served, 3);
}

#[tokio::test]
async fn a_failure_charges_nobody_and_a_cost_that_never_fits_is_the_requests_fault() {
    let (first, small) = (limiter("first", 10), limiter("small", 5));
    let (one, two) = (Arc::clone(&first), Arc::clone(&small));
    let policy = move |_: &Request<()>| {
        Charges::from(Charge::new(Arc::clone(&one), "k")).and(Charge::new(Arc::clone(&two), "k").cost(6))
    };
    let response = RateLimitLayer::with_policy(policy).layer(service_fn(told)).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.body().contains("can never fit"), "{}", response.body());
    assert!(!response.headers().contains_key("retry-after"), "no waiting helps");
    assert_eq!(used(&first, "k").await, 0);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_anybody_is_asked() {
    let first = limiter("first", 10);
    let policy = (
        ByKey::new(Arc::clone(&first), |_: &Request<()>| "k"),
        ByKey::new(limiter("second", 10), |_: &Request<()>| RequestKey::bad("the \"key\" is odd")),
    );
    let response = RateLimitLayer::with_policy(policy).layer(service_fn(told)).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let problem: serde_json::Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(problem["detail"], "the \"key\" is odd");
    assert_eq!(first.stats().allowed, 0);
}

/// One request at a time, every ten seconds.
fn line() -> Arc<dyn Limiter> {
    let algorithm = LeakyBucket::queue(Quota::per_minute(6).unwrap());
    Arc::new(MemoryLimiter::builder("line", algorithm).clock(ManualClock::default()).build())
}

#[tokio::test(start_paused = true)]
async fn a_place_in_a_line_is_waited_for() {
    let service = RateLimitLayer::new(line(), |_: &Request<()>| "k").layer(service_fn(told));
    let begun = tokio::time::Instant::now();
    let both = tokio::join!(service.clone().oneshot(get("/")), service.clone().oneshot(get("/")));
    assert_eq!((both.0.unwrap().status(), both.1.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whose_turn_comes_too_late_is_refused_at_once() {
    for (max_wait, retry_after) in [(None, "10"), (Some(12), "8")] {
        let (line, before) = (line(), limiter("before", 10));
        let policy = (
            ByKey::new(Arc::clone(&before), |_: &Request<()>| "k"),
            ByKey::new(Arc::clone(&line), |_: &Request<()>| "k"),
        );
        let layer = RateLimitLayer::with_policy(policy);
        let layer = if let Some(seconds) = max_wait { layer.max_wait(Duration::from_secs(seconds)) } else { layer };
        for _ in 0..2 {
            assert!(line.check("k", 1).await.unwrap().is_allowed());
        }
        let begun = tokio::time::Instant::now();
        let response = layer.layer(service_fn(told)).oneshot(get("/")).await.unwrap();
        assert_eq!((response.status(), begun.elapsed()), (StatusCode::TOO_MANY_REQUESTS, Duration::ZERO));
        assert_eq!(response.headers()["retry-after"], retry_after);
        assert_eq!((used(&line, "k").await, used(&before, "k").await), (2, 0), "its place was given back");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_gives_the_place_back() {
    let line = line();
    let service = RateLimitLayer::new(Arc::clone(&line), |_: &Request<()>| "k").layer(service_fn(told));
    let _ = service.clone().oneshot(get("/")).await.unwrap();
    let before = line.peek("k", 0).await.unwrap().remaining();
    let left = tokio::time::timeout(Duration::from_secs(1), service.oneshot(get("/"))).await;
    assert!(left.is_err(), "it waited");
    tokio::task::yield_now().await;
    assert_eq!(line.peek("k", 0).await.unwrap().remaining(), before);
}
