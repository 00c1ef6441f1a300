//! Policies as tower layers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::breaker::CircuitBreaker;
use crate::bulkhead::Bulkhead;
use crate::classify::Classify;
use crate::error::Error;
use crate::pipeline::Resilience;
use crate::retry::Retry;
use crate::timeout::Timeout;

/// Service under a policy. Made by the policy, which is a [`Layer`].
///
/// It is always ready: the policy covers the readiness of the inner service too, so an inner
/// service that never becomes ready runs into the time-out, and one that fails to become ready
/// counts as a failure. Each call runs on a clone of the inner service. All services that one
/// policy, or clones of it, has made share its state.
///
/// Under [`Retry`] and [`Resilience`] the request is cloned for each attempt.
#[derive(Clone, Debug)]
pub struct Guarded<S, P> {
    inner: S,
    policy: P,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Waits until the service is ready, and calls it.
async fn ready_call<S: Service<R>, R>(mut service: S, request: R) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

macro_rules! layer {
    ($policy:ty $(, $classifier:ident)?; $error:ty $(; $clone:ident)?) => {
        impl<S $(, $classifier: Clone)?> Layer<S> for $policy {
            type Service = Guarded<S, Self>;

            fn layer(&self, inner: S) -> Self::Service {
                Guarded { inner, policy: self.clone() }
            }
        }

        impl<S, R $(, $classifier)?> Service<R> for Guarded<S, $policy>
        where
            S: Service<R> + Clone + Send + 'static,
            S::Future: Send,
            S::Response: Send,
            S::Error: Send,
            R: $($clone +)? Send + 'static,
            $($classifier: Classify<S::Response, S::Error> + Clone + Send + Sync + 'static,)?
        {
            type Response = S::Response;
            type Error = $error;
            type Future = BoxFuture<Result<S::Response, $error>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), $error>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: R) -> Self::Future {
                let Self { inner, policy } = self.clone();
                layer!(@run inner, policy, request $(, $clone)?)
            }
        }
    };
    (@run $inner:ident, $policy:ident, $request:ident) => {
        Box::pin(async move { $policy.call(|| ready_call($inner, $request)).await })
    };
    (@run $inner:ident, $policy:ident, $request:ident, Clone) => {
        Box::pin(async move { $policy.call(move || ready_call($inner.clone(), $request.clone())).await })
    };
}

layer!(Timeout; Error<S::Error>);
layer!(Bulkhead; Error<S::Error>);
layer!(CircuitBreaker<C>, C; Error<S::Error>);
layer!(Retry<C>, C; S::Error; Clone);
layer!(Resilience<C>, C; Error<S::Error>; Clone);
