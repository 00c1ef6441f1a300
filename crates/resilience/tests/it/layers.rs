use std::future::{Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_resilience::{Bulkhead, CircuitBreaker, Error, Resilience, Retry, State, Timeout, Verdict};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::poll_once;

const LIMIT: Duration = Duration::from_secs(2);

/// Fails for a number of calls, then echoes.
#[derive(Clone)]
struct Flaky(Arc<AtomicU32>);

impl Flaky {
    fn new(failures: u32) -> Self {
        Self(Arc::new(AtomicU32::new(failures)))
    }
}

impl Service<&'static str> for Flaky {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        ready(if left.is_ok() { Err("refused") } else { Ok(request) })
    }
}

/// Never ready.
#[derive(Clone)]
struct Busy;

impl Service<&'static str> for Busy {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Pending
    }

    fn call(&mut self, _: &'static str) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_layer_opens_on_a_service_that_fails_for_all_its_services() {
    let breaker = CircuitBreaker::builder("payments").consecutive_failures(2).build().unwrap();
    let mut service = ServiceBuilder::new().layer(breaker.clone()).service(Flaky::new(2));
    for _ in 0..2 {
        assert_eq!(service.ready().await.unwrap().call("pay").await, Err(Error::Inner("refused")));
    }
    let other = ServiceBuilder::new().layer(breaker.clone()).service(Flaky::new(0));
    assert!(matches!(other.oneshot("pay").await, Err(Error::BreakerOpen { .. })));
    breaker.reset();
    assert_eq!(service.ready().await.unwrap().call("pay").await, Ok("pay"));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_layer_takes_a_classifier_of_responses() {
    let breaker = CircuitBreaker::builder("payments").consecutive_failures(1).build().unwrap();
    let by_status = breaker.classify(|status: Result<&u16, &&str>| match status {
        Ok(500..) | Err(_) => Verdict::Transient,
        Ok(_) => Verdict::Success,
    });
    let service =
        ServiceBuilder::new().layer(by_status).service(service_fn(|status: u16| ready(Ok::<_, &str>(status))));
    assert_eq!(service.clone().oneshot(404).await, Ok(404));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(service.oneshot(503).await, Ok(503));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_retry_layer_repeats_a_failed_request_and_keeps_the_type_of_its_error() {
    let retry = Retry::builder("payments").max_attempts(3).build().unwrap();
    let service = ServiceBuilder::new().layer(retry.clone()).service(Flaky::new(2));
    assert_eq!(service.oneshot("pay").await, Ok("pay"));
    let service = ServiceBuilder::new().layer(retry).service(Flaky::new(3));
    assert_eq!(service.oneshot("pay").await, Err("refused"));
}

#[tokio::test(start_paused = true)]
async fn the_time_out_layer_covers_the_readiness_of_the_service() {
    let service = ServiceBuilder::new().layer(Timeout::new("payments", LIMIT)).service(Busy);
    assert!(matches!(service.oneshot("pay").await, Err(Error::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_layer_refuses_requests_beyond_its_limit() {
    let bulkhead = Bulkhead::builder("payments", 1).build().unwrap();
    let hanging = service_fn(|(): ()| pending::<Result<(), &str>>());
    let service = ServiceBuilder::new().layer(bulkhead).service(hanging);
    let mut first = Box::pin(service.clone().oneshot(()));
    poll_once(&mut first).await;
    assert!(matches!(service.oneshot(()).await, Err(Error::Full { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_layer_of_a_pipeline_has_all_policies_and_one_flat_error() {
    let breaker = CircuitBreaker::builder("payments").consecutive_failures(3).build().unwrap();
    let payments = Resilience::new()
        .retry(Retry::builder("payments").max_attempts(2).build().unwrap())
        .bulkhead(Bulkhead::builder("payments", 8).build().unwrap())
        .breaker(breaker.clone())
        .timeout(Timeout::new("payments", LIMIT));
    let service = ServiceBuilder::new().layer(payments.clone()).service(Flaky::new(1));
    assert_eq!(service.oneshot("pay").await, Ok("pay"));
    let service = ServiceBuilder::new().layer(payments).service(Busy);
    let error: Error<&str> = service.clone().oneshot("pay").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(matches!(service.oneshot("pay").await, Err(Error::BreakerOpen { .. })));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_layers_ask_for_no_more_than_services_have_that_are_sent_between_threads() {
    /// Clone and Send, and not Sync.
    #[derive(Clone)]
    struct Request(#[expect(dead_code)] std::cell::Cell<u32>);

    fn is_service(_: impl Service<Request, Response = (), Future: Send> + Clone + Send + 'static) {}

    let echo = service_fn(|_: Request| ready(Ok::<_, &'static str>(())));
    is_service(ServiceBuilder::new().layer(Resilience::new()).service(echo));
    is_service(ServiceBuilder::new().layer(Retry::builder("payments").build().unwrap()).service(echo));
    is_service(ServiceBuilder::new().layer(Timeout::new("payments", LIMIT)).service(echo));
}
