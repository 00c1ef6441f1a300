//! The tower layer that limits concurrent requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::{AcquireError, ConcurrencyLimiter, Outcome};
use crate::layer::is_grpc;
use crate::{KeyExtractor, ProblemJson, Reject, Rejection, headers};

/// Holds a permit of a [`ConcurrencyLimiter`] for each request until the head of the response.
///
/// A request without a permit never reaches the service. [`ProblemJson`] answers it with 503 and
/// `Retry-After`, or the [`Reject`] that was set with [`reject_with`](Self::reject_with). A request
/// with an uncounted key needs no permit.
///
/// Responses with 503 or 504 count as overload, other server errors are ignored, and all others
/// count as success, unless [`outcome_by`](Self::outcome_by) is set. An error of the service, or a
/// cancelled request, counts like a dropped [`Permit`](super::Permit).
///
/// Place this layer behind the rate limits, so that a request that they refuse needs no permit.
pub struct ConcurrencyLayer<K, R = ProblemJson> {
    shared: Arc<Shared<K, R>>,
}

struct Shared<K, R> {
    limiter: Arc<ConcurrencyLimiter>,
    extractor: K,
    reject: R,
    outcome: fn(StatusCode) -> Outcome,
}

fn outcome_of(status: StatusCode) -> Outcome {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Outcome::Overload,
        status if status.is_server_error() => Outcome::Ignored,
        _ => Outcome::Success,
    }
}

impl<K> ConcurrencyLayer<K> {
    /// Limits by the key that `extractor` finds, and answers refusals with [`ProblemJson`].
    pub fn new(limiter: Arc<ConcurrencyLimiter>, extractor: K) -> Self {
        Self { shared: Arc::new(Shared { limiter, extractor, reject: ProblemJson, outcome: outcome_of }) }
    }
}

impl<K: Clone, R> ConcurrencyLayer<K, R> {
    /// Answers refusals with `reject`: a [`Reject`], or a function from [`Rejection`] to a
    /// response.
    pub fn reject_with<Q>(self, reject: Q) -> ConcurrencyLayer<K, Q> {
        let Shared { limiter, extractor, outcome, .. } = &*self.shared;
        let (limiter, extractor, outcome) = (Arc::clone(limiter), extractor.clone(), *outcome);
        ConcurrencyLayer { shared: Arc::new(Shared { limiter, extractor, reject, outcome }) }
    }

    /// Sets the function that derives the outcome from the status of a response.
    #[must_use]
    pub fn outcome_by(self, outcome: fn(StatusCode) -> Outcome) -> Self
    where
        R: Clone,
    {
        let Shared { limiter, extractor, reject, .. } = &*self.shared;
        let (limiter, extractor, reject) = (Arc::clone(limiter), extractor.clone(), reject.clone());
        Self { shared: Arc::new(Shared { limiter, extractor, reject, outcome }) }
    }
}

impl<S, K, R> Layer<S> for ConcurrencyLayer<K, R> {
    type Service = LimitConcurrency<S, K, R>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitConcurrency { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A service with a limit on concurrent requests; created by [`ConcurrencyLayer`].
pub struct LimitConcurrency<S, K, R> {
    inner: S,
    shared: Arc<Shared<K, R>>,
}

impl<S, K, R, B, ResponseBody> Service<Request<B>> for LimitConcurrency<S, K, R>
where
    S: Service<Request<B>, Response = Response<ResponseBody>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ResponseBody: Send + 'static,
    K: KeyExtractor<B> + Send + Sync + 'static,
    R: Reject<ResponseBody> + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = &self.shared;
        let is_grpc = is_grpc(request.headers());
        let refuse = |rejection: Rejection<'_>| {
            if is_grpc { shared.reject.reject_grpc(rejection) } else { shared.reject.reject(rejection) }
        };
        let key = shared.extractor.key(&request);
        if let Some(rejection) = key.rejection() {
            rejection.log();
            let response = refuse(rejection);
            return Box::pin(async move { Ok(response) });
        }
        let Some(key) = key.as_str() else {
            return Box::pin(self.inner.call(request));
        };
        match shared.limiter.try_acquire(key) {
            Ok(permit) => {
                let (response, outcome) = (self.inner.call(request), shared.outcome);
                Box::pin(async move {
                    let response = response.await?;
                    permit.finish(outcome(response.status()));
                    Ok(response)
                })
            }
            Err(error) => {
                let response = refusal(refuse, shared.limiter.name(), &error);
                Box::pin(async move { Ok(response) })
            }
        }
    }
}

fn refusal<B>(refuse: impl Fn(Rejection<'_>) -> Response<B>, limiter: &str, error: &AcquireError) -> Response<B> {
    match error {
        AcquireError::AtLimit { retry_after, .. } => {
            let mut response = refuse(Rejection::Busy { limiter, retry_after: *retry_after });
            // At least one second, because 0 would mean an immediate retry.
            let seconds = headers::whole_seconds(*retry_after).max(1);
            response.headers_mut().entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
            response
        }
        AcquireError::Key(error) => refuse(Rejection::Failed { limiter, error }),
    }
}

// A derived implementation would require `Clone` and `Debug` of the functions.
impl<K, R> Clone for ConcurrencyLayer<K, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Clone, K, R> Clone for LimitConcurrency<S, K, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<K, R> fmt::Debug for ConcurrencyLayer<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLayer").field("limiter", &self.shared.limiter).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, K, R> fmt::Debug for LimitConcurrency<S, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitConcurrency").field("inner", &self.inner).finish_non_exhaustive()
    }
}
