//! The layer in front of a service.

use std::convert::Infallible;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tidegate_ratelimit::{
    BlockPolicy, ByAddress, Decision, Limiter, MAX_KEY_BYTES, ManualClock, MemoryLimiter, Quota, RateLimitLayer,
    Rejection, SlidingWindow,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn limiter(name: &str, limit: u64) -> MemoryLimiter<SlidingWindow> {
    let algorithm = SlidingWindow::new(Quota::per_minute(limit).unwrap());
    MemoryLimiter::builder(name, algorithm).max_keys(2).clock(ManualClock::default()).build()
}

fn by_user(request: &Request<()>) -> Option<String> {
    Some(request.headers().get("user")?.to_str().ok()?.to_owned())
}

fn request(user: Option<&str>) -> Request<()> {
    let builder = Request::builder();
    user.into_iter().fold(builder, |builder, user| builder.header("user", user)).body(()).unwrap()
}

/// Responds with the remaining amount of the decision in the request's extensions.
async fn remaining(request: Request<()>) -> Result<Response<String>, Infallible> {
    let decision = request.extensions().get::<Decision>();
    Ok(Response::new(decision.map_or("none".to_owned(), |decision| decision.remaining().to_string())))
}

#[tokio::test]
async fn an_admitted_request_carries_its_decision() {
    let layer = RateLimitLayer::new(Arc::new(limiter("api", 5)), by_user);
    let response = layer.layer(service_fn(remaining)).oneshot(request(Some("u1"))).await.unwrap();
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, "4"));
    assert_eq!(response.headers()["ratelimit-policy"], "\"api\";q=5;w=60");
    assert_eq!(response.headers()["ratelimit"], "\"api\";r=4;t=60");
}

#[tokio::test]
async fn a_refused_request_never_reaches_the_service() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let service = service_fn(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        remaining(request)
    });
    let limiter: Arc<dyn Limiter> = Arc::new(limiter("the \"api\"", 2));
    let mut service = RateLimitLayer::new(limiter.clone(), by_user).layer(service);
    for expected in [200, 200, 429, 429] {
        let response = service.ready().await.unwrap().call(request(Some("u1"))).await.unwrap();
        assert_eq!(response.status(), expected);
        if expected == 429 {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.headers()["retry-after"], "60");
            assert_eq!(response.headers()["ratelimit"], r#""the \"api\"";r=0;t=60"#);
            let problem: serde_json::Value = serde_json::from_str(response.body()).unwrap();
            assert_eq!((&problem["status"], &problem["title"]), (&429.into(), &"Too Many Requests".into()));
            assert!(problem["detail"].as_str().unwrap().contains("the \"api\""));
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!((limiter.stats().allowed, limiter.stats().denied), (2, 2));
    assert_eq!(service.oneshot(request(Some("u2"))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_without_a_key_passes_uncounted() {
    let limiter = Arc::new(limiter("api", 1));
    let service = RateLimitLayer::new(limiter.clone(), by_user).layer(service_fn(remaining));
    for _ in 0..3 {
        let response = service.clone().oneshot(request(None)).await.unwrap();
        assert_eq!(response.body(), "none");
        assert!(!response.headers().contains_key("ratelimit"));
    }
    assert_eq!(limiter.stats().allowed, 0);
}

#[tokio::test]
async fn the_refusal_can_be_built_by_the_user() {
    let algorithm = SlidingWindow::new(Quota::per_minute(1).unwrap());
    let policy = BlockPolicy::fixed(Duration::from_mins(15));
    let limiter = MemoryLimiter::builder("auth", algorithm).block(policy).clock(ManualClock::default()).build();
    let refuse = |rejection: Rejection<'_>| match rejection {
        Rejection::Denied { limiter, denial } => Response::new(format!("{limiter} {:?}", denial.blocked_for)),
        other => Response::new(format!("{other:?}")),
    };
    let service = RateLimitLayer::new(Arc::new(limiter), by_user).reject_with(refuse).layer(service_fn(remaining));
    let _ = service.clone().oneshot(request(Some("u1"))).await.unwrap();
    let response = service.oneshot(request(Some("u1"))).await.unwrap();
    assert_eq!(response.body(), "auth Some(900s)");
    assert_eq!(response.headers()["retry-after"], "900");
}

#[tokio::test]
async fn what_can_not_be_counted_is_refused() {
    let limiter = Arc::new(limiter("api", 1));
    let service = RateLimitLayer::new(limiter.clone(), by_user).layer(service_fn(remaining));
    let long = "u".repeat(MAX_KEY_BYTES + 1);
    let response = service.clone().oneshot(request(Some(&long))).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["cache-control"]),
        (StatusCode::BAD_REQUEST, &"no-store".parse().unwrap())
    );
    for banned in ["b1", "b2"] {
        limiter.block(banned, Duration::from_mins(1)).await.unwrap();
    }
    let response = service.oneshot(request(Some("u1"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

/// Checked at compile time: layers and services are `Send` and `Sync`, and limiters are object
/// safe.
#[test]
fn everything_crosses_threads() {
    fn crosses<T: Send + Sync + Clone>(_: &T) {}
    let limiter: Arc<dyn Limiter> = Arc::new(limiter("api", 1));
    let layer = RateLimitLayer::new(limiter, by_user);
    crosses(&layer);
    crosses(&layer.layer(service_fn(remaining)));
}

/// Keeps the events of one thread as text, each with its level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_server_without_peer_addresses_is_named_in_the_log_and_answers_500() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let by_address = ByAddress::new(|extensions| extensions.get::<SocketAddr>().map(SocketAddr::ip));
    let mut service = RateLimitLayer::new(Arc::new(limiter("api", 5)), by_address.clone()).layer(service_fn(remaining));
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(request(None)).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.body().contains("into_make_service"), "{}", response.body());
    }
    let mut grpc = request(None);
    grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(service.call(grpc).await.unwrap().headers()["grpc-status"], "13");
    let errors: Vec<String> = log.0.lock().unwrap().iter().filter(|line| line.starts_with("ERROR")).cloned().collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("into_make_service_with_connect_info"), "{errors:?}");
    let mut request = request(None);
    request.extensions_mut().insert(SocketAddr::from(([203, 0, 113, 7], 1)));
    assert_eq!(service.call(request).await.unwrap().status(), StatusCode::OK);
}
