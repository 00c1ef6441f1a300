use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use tidegate_resilience::{Bulkhead, CircuitBreaker, Error, Resilience, Retry, State, Timeout, Verdict};
use tokio::time::Instant;

use crate::support::poll_once;

const LIMIT: Duration = Duration::from_secs(2);

fn breaker() -> CircuitBreaker {
    CircuitBreaker::builder("payments").consecutive_failures(2).build().unwrap()
}

fn retry(attempts: u32) -> Retry {
    Retry::builder("payments").max_attempts(attempts).max_elapsed(Duration::MAX).without_budget().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_without_policies_changes_nothing() {
    let bare = Resilience::new();
    assert_eq!(bare.call(|| async { Ok::<_, &str>("paid") }).await, Ok("paid"));
    assert_eq!(bare.call(|| async { Err::<(), _>("refused") }).await, Err(Error::Inner("refused")));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_time_out_which_the_breaker_counts() {
    let breaker = breaker();
    let payments = Resilience::new().retry(retry(3)).breaker(breaker.clone()).timeout(Timeout::new("payments", LIMIT));
    let (attempts, start) = (Cell::new(0), Instant::now());
    let result = payments.call(|| {
        attempts.set(attempts.get() + 1);
        pending::<Result<(), &str>>()
    });
    let error = result.await.unwrap_err();
    assert!(matches!(error, Error::BreakerOpen { .. }), "the third attempt is refused, and not repeated: {error}");
    assert_eq!((attempts.get(), breaker.state()), (2, State::Open));
    assert!(start.elapsed() >= LIMIT * 2 && start.elapsed() < LIMIT * 3);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_the_call_at_once() {
    let breaker = breaker();
    breaker.force_open();
    let payments = Resilience::new().retry(retry(10)).breaker(breaker);
    let start = Instant::now();
    let error = payments.call(|| async { Ok::<_, &str>(()) }).await.unwrap_err();
    assert!(matches!(error, Error::BreakerOpen { retry_in: None, .. }));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_ends_the_call_at_once_and_is_no_failure_of_the_dependency() {
    let breaker = breaker();
    let bulkhead = Bulkhead::builder("payments", 1).build().unwrap();
    let payments = Resilience::new().retry(retry(10)).bulkhead(bulkhead).breaker(breaker.clone());
    let mut first = Box::pin(payments.call(pending::<Result<(), &str>>));
    poll_once(&mut first).await;
    for _ in 0..10 {
        let error = payments.call(|| async { Ok::<_, &str>(()) }).await.unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error}");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_next_attempt_holds_no_place() {
    let bulkhead = Bulkhead::builder("payments", 1).build().unwrap();
    let payments = Resilience::new().retry(retry(2)).bulkhead(bulkhead.clone());
    let payments = payments.classify(|_: Result<&(), &&str>| Verdict::TransientAfter(LIMIT));
    let mut call = Box::pin(payments.call(|| async { Err::<(), _>("refused") }));
    poll_once(&mut call).await;
    assert_eq!(bulkhead.running(), 0);
    assert_eq!(call.await, Err(Error::Inner("refused")));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_a_permit_checks_the_breaker_afterwards() {
    let breaker = breaker();
    let bulkhead = Bulkhead::builder("payments", 1).max_waiting(1).build().unwrap();
    let payments = Resilience::new().bulkhead(bulkhead).breaker(breaker.clone());
    let mut first = Box::pin(payments.call(pending::<Result<(), &str>>));
    poll_once(&mut first).await;
    let mut second = Box::pin(payments.call(|| async { Ok::<_, &str>(()) }));
    poll_once(&mut second).await;
    breaker.force_open();
    drop(first);
    assert!(matches!(second.await, Err(Error::BreakerOpen { .. })));
}

#[tokio::test(start_paused = true)]
async fn one_classifier_serves_retry_and_breaker() {
    let breaker = breaker();
    let payments = Resilience::new().retry(retry(5)).breaker(breaker.clone());
    let payments = payments.classify(|result: Result<&(), &&str>| match result {
        Ok(()) => Verdict::Success,
        Err(&"no such account") => Verdict::Permanent,
        Err(_) => Verdict::Transient,
    });
    let attempts = Cell::new(0);
    let permanent = || {
        attempts.set(attempts.get() + 1);
        async { Err::<(), _>("no such account") }
    };
    for _ in 0..3 {
        assert_eq!(payments.call(permanent).await, Err(Error::Inner("no such account")));
    }
    assert_eq!((attempts.get(), breaker.state()), (3, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_nested_policies_flattens() {
    let (breaker, timeout) = (breaker(), Timeout::new("payments", LIMIT));
    let nested = breaker.call(|| timeout.call(pending::<Result<(), &str>>)).await;
    let flat = nested.map_err(Error::flatten).unwrap_err();
    assert_eq!(flat, Error::TimedOut { name: "payments".into(), limit: LIMIT });
    assert_eq!(Error::Inner("refused").into_inner(), Some("refused"));
    assert_eq!(flat.into_inner(), None);
}
