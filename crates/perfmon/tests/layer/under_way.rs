//! Requests that have begun and not ended.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use http::{Request, Response};
use tidegate_perfmon::{HealthMonitor, PerfLayer};
use tower::{Layer, Service, service_fn};

use crate::support::{MS, manual, request, route};

#[test]
fn requests_under_way_are_counted_with_the_oldest() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    assert_eq!(registry.in_flight(), []);
    let first = service.call(request(Some("/b")));
    clock.advance(Duration::from_secs(4));
    let second = service.call(request(Some("/b")));
    let third = service.call(request(Some("/a")));
    clock.advance(Duration::from_secs(2));
    let seen: Vec<_> =
        registry.in_flight().into_iter().map(|all| (all.route, all.count, all.oldest.as_secs())).collect();
    assert_eq!(seen, [("/a".to_owned(), 1, 2), ("/b".to_owned(), 2, 6)]);
    assert_eq!(registry.in_flight_over(Duration::from_secs(2)), 1, "to be as old as the limit is not over it");
    assert_eq!(registry.in_flight_over(Duration::from_secs(1)), 3);
    // They end elsewhere.
    std::thread::spawn(move || drop((first, third))).join().unwrap();
    assert_eq!(registry.in_flight_over(Duration::ZERO), 1);
    drop(second);
    assert_eq!(registry.in_flight(), []);
}

#[test]
fn notes_of_requests_under_way_are_part_of_the_memory() {
    let (_, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    drop(service.call(request(Some("/a"))));
    let before = registry.overhead().bytes;
    let burst: Vec<_> = (0..10_000).map(|_| service.call(request(Some("/a")))).collect();
    let during = registry.overhead().bytes;
    assert!(during >= before + 10_000 * size_of::<Duration>(), "{before} {during}");
    drop(burst);
    assert!(registry.overhead().bytes >= during, "the room is kept for the next burst");
}

/// Nothing has ended, and yet it shows.
#[test]
fn handlers_that_hang_are_seen_in_the_readings() {
    let (clock, registry) = manual();
    let mut service = PerfLayer::new(registry.clone(), route)
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    let hanging: Vec<_> = (0..30).map(|_| service.call(request(Some("/hang")))).collect();
    let told = || {
        registry.tick(registry.now());
        let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
        serde_json::to_string(&report).unwrap()
    };
    clock.advance(Duration::from_secs(5));
    assert!(!told().contains("still running"));
    clock.advance(MS);
    assert!(told().contains("30 of them still running"), "{}", told());
    drop(hanging);
}
