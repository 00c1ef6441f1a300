//! The service that calls the limiters first.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{Decisions, Policy, RateLimitLayer, Reject, Rejection, grpc};
use crate::headers;

/// A service with rate limits; created by [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S, P, R> {
    inner: S,
    layer: RateLimitLayer<P, R>,
}

impl<S, P, R> RateLimit<S, P, R> {
    pub(super) fn new(inner: S, layer: RateLimitLayer<P, R>) -> Self {
        Self { inner, layer }
    }
}

impl<S, P, R, B, ResponseBody> Service<Request<B>> for RateLimit<S, P, R>
where
    S: Service<Request<B>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    P: Policy<B> + Send + Sync + 'static,
    R: Reject<ResponseBody> + Send + Sync + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The instance that was polled ready must be called; a clone may not be ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let charges = self.layer.policy.charges(&request);
        if charges.is_empty() {
            return Box::pin(inner.call(request));
        }
        let (reject, has_x_headers) = (Arc::clone(&self.layer.reject), self.layer.has_x_headers);
        let max_wait = self.layer.max_wait;
        Box::pin(async move {
            let is_grpc = grpc::is_grpc(request.headers());
            let refuse = |rejection: Rejection<'_>| {
                if is_grpc { reject.reject_grpc(rejection) } else { reject.reject(rejection) }
            };
            if let Some(rejection) = charges.rejection() {
                rejection.log();
                return Ok(refuse(rejection));
            }
            let asked = charges.ask(max_wait).await;
            let mut response = if let Some(rejection) = asked.rejection() {
                refuse(rejection)
            } else {
                #[cfg(feature = "tokio")]
                super::line::wait(&charges, &asked.decisions).await;
                tell(&mut request, &asked.decisions);
                inner.call(request).await?
            };
            for (name, decision) in asked.decisions.iter() {
                headers::apply(response.headers_mut(), name, decision);
                if has_x_headers {
                    headers::apply_x(response.headers_mut(), decision);
                }
            }
            Ok(response)
        })
    }
}

/// Adds the decisions to the request's extensions, after those of earlier layers.
fn tell<B>(request: &mut Request<B>, decisions: &Decisions) {
    let extensions = request.extensions_mut();
    let all = match extensions.get_mut::<Decisions>() {
        Some(before) => {
            before.append(decisions);
            &*before
        }
        None => decisions,
    };
    let binding = all.binding().map(|(_, decision)| *decision);
    if extensions.get::<Decisions>().is_none() {
        extensions.insert(decisions.clone());
    }
    if let Some(binding) = binding {
        extensions.insert(binding);
    }
}

impl<S: Clone, P, R> Clone for RateLimit<S, P, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S: fmt::Debug, P, R> fmt::Debug for RateLimit<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
