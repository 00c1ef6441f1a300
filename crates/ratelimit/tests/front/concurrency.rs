//! Limits on concurrent requests: permits, keys, and the outcome of a response.

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_ratelimit::{
    AcquireError, CheckError, Concurrency, ConcurrencyLimiter, Gradient, MAX_KEY_BYTES, ManualClock, Outcome, Permit,
};

use crate::support::clock;

fn fixed(limit: u32) -> ConcurrencyLimiter {
    ConcurrencyLimiter::builder("test", Concurrency::Fixed(NonZeroU32::new(limit).unwrap())).max_keys(2).build()
}

#[test]
fn a_permit_is_a_place_until_it_is_dropped() {
    let limiter = fixed(2);
    let first = limiter.try_acquire("a").unwrap();
    let second = limiter.try_acquire("a").unwrap();
    let refused = limiter.try_acquire("a").unwrap_err();
    assert_eq!(refused, AcquireError::AtLimit { limit: 2, retry_after: Duration::from_secs(1) });
    assert!(limiter.try_acquire("b").is_ok());
    drop(first);
    second.overloaded();
    assert_eq!((limiter.in_flight("a"), limiter.limit("a")), (0, 2));
    let stats = limiter.stats();
    assert_eq!((stats.admitted, stats.refused, stats.failed, stats.in_flight), (3, 1, 0, 0));
}

#[test]
fn a_permit_comes_back_from_a_panic() {
    let limiter = fixed(1);
    let panicked = thread::scope(|scope| {
        let run = || {
            let _permit = limiter.try_acquire("a").unwrap();
            panic!("on purpose");
        };
        scope.spawn(run).join().is_err()
    });
    assert!(panicked && limiter.try_acquire("a").is_ok());
}

#[test]
fn threads_are_never_more_than_the_limit_together() {
    let (limiter, under_way, most) = (fixed(3), AtomicU32::new(0), AtomicU32::new(0));
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..2_000 {
                    let Ok(permit) = limiter.try_acquire("a") else { continue };
                    most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    permit.succeeded();
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    let stats = limiter.stats();
    assert_eq!((stats.admitted + stats.refused, stats.in_flight), (16_000, 0));
}

#[test]
fn keys_are_bounded_and_those_under_way_stay() {
    let limiter = fixed(1);
    let held = limiter.try_acquire("held").unwrap();
    for number in 0..100 {
        limiter.try_acquire(&format!("key-{number}")).unwrap().succeeded();
    }
    assert!(limiter.try_acquire("held").is_err());
    let other = limiter.try_acquire("other").unwrap();
    assert_eq!(limiter.try_acquire("third").unwrap_err(), AcquireError::Key(CheckError::Full { max_keys: 2 }));
    drop((held, other));
    assert!(limiter.try_acquire("third").is_ok());
    assert!(limiter.stats().tracked_keys <= 2);
}

#[test]
fn an_adaptive_limit_of_another_key_is_its_own() {
    let rule = Concurrency::Adaptive(Gradient::new().initial(5).bounds(2, 50));
    let limiter = ConcurrencyLimiter::builder("test", rule).build();
    let permits: Vec<_> = (0..5).map(|_| limiter.try_acquire("a").unwrap()).collect();
    assert!(limiter.try_acquire("a").is_err() && limiter.try_acquire("b").is_ok());
    drop(permits);
    assert_eq!((limiter.limit("a"), limiter.limit("never seen")), (5, 5));
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(limiter.try_acquire(&long), Err(AcquireError::Key(CheckError::KeyTooLong { .. }))));
}

/// Repeatedly takes all permits, waits, and releases them with `end`. Returns the maximum limit
/// after that.
fn rounds(limiter: &ConcurrencyLimiter, clock: &ManualClock, millis: u64, count: u32, end: fn(Permit)) -> u32 {
    let round = |_| {
        let permits: Vec<_> = std::iter::from_fn(|| limiter.try_acquire("db").ok()).collect();
        clock.advance(Duration::from_millis(millis));
        permits.into_iter().for_each(end);
        limiter.limit("db")
    };
    (0..count).map(round).max().unwrap_or(0)
}

fn adaptive() -> (ConcurrencyLimiter, ManualClock) {
    let clock = clock();
    let builder = ConcurrencyLimiter::builder("db", Concurrency::Adaptive(Gradient::new()));
    (builder.clock(clock.clone()).build(), clock)
}

#[test]
fn a_service_that_only_fails_is_given_no_more() {
    for outcome in [|permit: Permit| permit.finish(Outcome::Ignored), |permit: Permit| drop(permit)] {
        let (limiter, clock) = adaptive();
        assert_eq!(rounds(&limiter, &clock, 1, 5_000, outcome), 20, "one that never served");
        let (limiter, clock) = adaptive();
        let before = rounds(&limiter, &clock, 50, 20, Permit::succeeded);
        // The current window had served some.
        let most = f64::from(before) + f64::from(before).sqrt();
        let after = rounds(&limiter, &clock, 1, 5_000, outcome);
        assert!(before < 300 && f64::from(after) <= most, "{before}, {after}");
    }
}

#[test]
fn a_service_that_hangs_is_given_ever_less() {
    let (limiter, clock) = adaptive();
    let best = rounds(&limiter, &clock, 50, 100, Permit::succeeded);
    assert!(best > 100, "{best}");
    let hanging = rounds(&limiter, &clock, 5_000, 60, drop);
    assert!(f64::from(hanging) <= f64::from(best) + f64::from(best).sqrt(), "{best}, {hanging}");
    assert!(limiter.limit("db") <= 4, "{}", limiter.limit("db"));
    // The service is used again after it responds again.
    assert!(rounds(&limiter, &clock, 50, 400, Permit::succeeded) > 100);
}

#[cfg(feature = "tower")]
mod layer {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
    use http::{Request, Response, StatusCode};
    use tidegate_ratelimit::{ConcurrencyLayer, Rejection};
    use tokio::sync::Semaphore;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    fn key(request: &Request<()>) -> Option<String> {
        Some(request.headers().get("x-key")?.to_str().ok()?.to_owned())
    }

    fn request(key: &str) -> Request<()> {
        Request::builder().header("x-key", key).body(()).unwrap()
    }

    #[tokio::test]
    async fn answers_what_has_no_place_with_503_and_when_to_come_back() {
        let (limiter, gate) = (Arc::new(fixed(1)), Arc::new(Semaphore::new(0)));
        let waits = Arc::clone(&gate);
        let service = service_fn(move |_| {
            let gate = Arc::clone(&waits);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(String::from("served")))
            }
        });
        let service = ConcurrencyLayer::new(Arc::clone(&limiter), key).layer(service);
        let first = tokio::spawn(service.clone().oneshot(request("a")));
        while limiter.in_flight("a") == 0 {
            tokio::task::yield_now().await;
        }
        let refused = service.clone().oneshot(request("a")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
        assert_eq!(refused.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(refused.headers()[CONTENT_TYPE], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(refused.body()).unwrap();
        assert_eq!(problem["status"], 503);
        gate.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap().body(), "served");
        assert_eq!(limiter.in_flight("a"), 0);
        // A cancelled request releases its permit too.
        let given_up = tokio::spawn(service.clone().oneshot(request("a")));
        while limiter.in_flight("a") == 0 {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert_eq!(limiter.in_flight("a"), 0);
    }

    #[tokio::test]
    async fn lets_through_what_has_no_key_and_answers_as_it_is_told() {
        let limiter = Arc::new(fixed(1));
        let _held = limiter.try_acquire("a").unwrap();
        let reject = |rejection: Rejection<'_>| {
            assert!(matches!(rejection, Rejection::Busy { limiter: "test", .. }));
            Response::new(String::from("mine"))
        };
        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(String::from("served"))));
        let service = ConcurrencyLayer::new(limiter, key).reject_with(reject).layer(service);
        let refused = service.clone().oneshot(request("a")).await.unwrap();
        assert_eq!((refused.body().as_str(), &refused.headers()[RETRY_AFTER]), ("mine", &"1".parse().unwrap()));
        assert_eq!(service.oneshot(Request::new(())).await.unwrap().body(), "served");
    }
}
