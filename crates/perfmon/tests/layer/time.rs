//! Which time counts.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use http::{Request, Response};
use tidegate_perfmon::{BodyWait, CallOutcome, PerfLayer, ReceivedAt, Window};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{MS, manual, only, request, route};

#[tokio::test]
async fn time_runs_from_where_the_request_was_received() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(20 * MS);
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    clock.advance(Duration::from_secs(10));
    for received in [Some(registry.now() - 30 * MS), None] {
        let mut request = request(Some("/"));
        if let Some(at) = received {
            request.extensions_mut().insert(ReceivedAt(at));
        }
        service.clone().oneshot(request).await.unwrap();
    }
    assert!((only(&registry).latency.sum_seconds - 0.070).abs() < 1e-9);
    let waits = registry.http_wait_totals();
    assert_eq!(waits.count, 1, "who says nothing of it is not counted as having waited for nothing");
    assert!((waits.sum_seconds - 0.030).abs() < 1e-9);
    registry.tick(registry.now());
    assert!(registry.http_wait(Window::Seconds(60)).quantile(1.0).unwrap() >= 30 * MS);
}

#[tokio::test]
async fn waiting_for_the_client_is_no_time_of_a_request_and_working_is() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|request: Request<()>| {
        let (clock, registry) = (clock.clone(), registry.clone());
        async move {
            let body = request.extensions().get::<BodyWait>().unwrap();
            clock.advance(20 * MS);
            for _ in 0..2 {
                body.begin(registry.now());
                clock.advance(Duration::from_secs(13));
                assert_eq!(registry.in_flight()[0].oldest, 20 * MS);
                assert_eq!((registry.in_flight_over(20 * MS), registry.in_flight_over(19 * MS)), (0, 1));
                body.end(registry.now());
            }
            clock.advance(30 * MS);
            assert_eq!(registry.in_flight_over(49 * MS), 1, "a handler that hangs is seen");
            // The rest of the body is awaited only by this request.
            body.begin(registry.now());
            clock.advance(Duration::from_secs(60));
            Ok::<_, Infallible>(Response::new(()))
        }
    }));
    let mut request = request(Some("/"));
    request.extensions_mut().insert(BodyWait::default());
    service.oneshot(request).await.unwrap();
    assert!((only(&registry).latency.sum_seconds - 0.050).abs() < 1e-9);
    assert_eq!(registry.slow_calls(1), []);
    let waits = registry.http_body_wait_totals();
    assert_eq!(waits.count, 1);
    assert!((waits.sum_seconds - 86.0).abs() < 1e-9);
    registry.tick(registry.now());
    assert!(registry.http_body_wait(Window::Seconds(60)).quantile(1.0).unwrap() >= Duration::from_secs(86));
}

#[tokio::test]
async fn a_request_from_the_future_has_begun_now() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(20 * MS);
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let mut request = request(Some("/"));
    request.extensions_mut().insert(ReceivedAt(Duration::MAX));
    service.oneshot(request).await.unwrap();
    assert!((only(&registry).latency.sum_seconds - 0.020).abs() < 1e-9);
    assert!(registry.http_wait_totals().sum_seconds.abs() < 1e-9);
}

#[tokio::test]
async fn the_overhead_of_measuring_is_measured() {
    let (clock, registry) = manual();
    let service = PerfLayer::new(registry.clone(), route).layer(service_fn(|_: Request<()>| {
        clock.advance(Duration::from_nanos(1));
        ready(Ok::<_, Infallible>(Response::new(())))
    }));
    let idle = registry.overhead().bytes;
    for _ in 0..2_000 {
        service.clone().oneshot(request(Some("/"))).await.unwrap();
    }
    registry.tick(registry.now());
    let overhead = registry.overhead();
    assert_eq!(overhead.tick.count(), 1);
    assert_eq!(overhead.record.count(), 0, "each took a nanosecond, on which the lot doesn't fall");
    assert!((8_000..64_000).contains(&(overhead.bytes - idle)), "{} bytes", overhead.bytes - idle);
    registry.finished(&registry.endpoint("GET", "/"), CallOutcome::Status(200), Duration::from_nanos(2048), None);
    assert_eq!(registry.overhead().record.count(), 1);
}
