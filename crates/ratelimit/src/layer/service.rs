//! The service that asks the limiter first.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{KeyExtractor, Reject, Rejection, Shared};
use crate::{Decision, Limiter, headers};

/// A service behind a limiter; made by [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S, L: ?Sized, K, R> {
    inner: S,
    limiter: Arc<L>,
    shared: Arc<Shared<K, R>>,
}

impl<S, L: ?Sized, K, R> RateLimit<S, L, K, R> {
    pub(super) fn new(inner: S, limiter: Arc<L>, shared: Arc<Shared<K, R>>) -> Self {
        Self { inner, limiter, shared }
    }
}

impl<S, L, K, R, B, ResponseBody> Service<Request<B>> for RateLimit<S, L, K, R>
where
    S: Service<Request<B>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    L: Limiter + ?Sized + 'static,
    K: KeyExtractor<B> + Send + Sync + 'static,
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
        // The one that was polled ready must be the one that is called; a clone may not be ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Some(key) = self.shared.extractor.key(&request) else {
            return Box::pin(inner.call(request));
        };
        let (limiter, shared) = (Arc::clone(&self.limiter), Arc::clone(&self.shared));
        Box::pin(async move {
            let decision = match limiter.check(&key, 1).await {
                Ok(decision) => decision,
                Err(error) => {
                    return Ok(shared.reject.reject(Rejection::Failed { limiter: limiter.name(), error: &error }));
                }
            };
            let mut response = match &decision {
                Decision::Allowed(_) => {
                    request.extensions_mut().insert(decision);
                    inner.call(request).await?
                }
                Decision::Denied(denial) => shared.reject.reject(Rejection::Denied { limiter: limiter.name(), denial }),
            };
            headers::apply(response.headers_mut(), limiter.name(), &decision);
            Ok(response)
        })
    }
}

impl<S: Clone, L: ?Sized, K, R> Clone for RateLimit<S, L, K, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.limiter), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, L: ?Sized, K, R> fmt::Debug for RateLimit<S, L, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}
