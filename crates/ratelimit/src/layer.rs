//! The tower layer: one limiter in front of a service.

mod reject;
mod service;

use std::fmt;
use std::sync::Arc;

use http::Request;
use tower_layer::Layer;

pub use reject::{ProblemJson, Reject, Rejection};
pub use service::RateLimit;

/// Finds the key that a request is counted under.
pub trait KeyExtractor<B> {
    /// The key; `None` lets the request through uncounted.
    fn key(&self, request: &Request<B>) -> Option<String>;
}

impl<B, F: Fn(&Request<B>) -> Option<String>> KeyExtractor<B> for F {
    fn key(&self, request: &Request<B>) -> Option<String> {
        self(request)
    }
}

/// Counts each request as one against a [`Limiter`](crate::Limiter).
///
/// An admitted request carries its [`Decision`](crate::Decision) as an extension, and its response the
/// [headers](crate::headers). A refused one never reaches the service: it is answered by [`ProblemJson`], or by
/// a function given to [`reject_with`](Self::reject_with), and the headers are added to that.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use http::{Request, Response};
/// use tidegate_ratelimit::{MemoryLimiter, Quota, RateLimitLayer, SlidingWindow};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Arc::new(MemoryLimiter::builder("api", SlidingWindow::new(Quota::per_minute(1)?)).build());
/// let by_key = |request: &Request<()>| Some(request.headers().get("x-api-key")?.to_str().ok()?.to_owned());
/// let service = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(limiter, by_key))
///     .service(service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new()))));
///
/// let request = || Request::builder().header("x-api-key", "k1").body(());
/// let first = service.clone().oneshot(request()?).await?;
/// assert_eq!(first.headers()["ratelimit"], "\"api\";r=0;t=60");
/// let second = service.oneshot(request()?).await?;
/// assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"60".parse()?));
/// # Ok(())
/// # }
/// ```
pub struct RateLimitLayer<L: ?Sized, K, R = ProblemJson> {
    shared: Arc<Shared<K, R>>,
    limiter: Arc<L>,
}

struct Shared<K, R> {
    extractor: K,
    reject: R,
}

impl<L: ?Sized, K> RateLimitLayer<L, K> {
    /// Limits by the key that `extractor` finds, and answers refusals with [`ProblemJson`].
    pub fn new(limiter: Arc<L>, extractor: K) -> Self {
        Self { shared: Arc::new(Shared { extractor, reject: ProblemJson }), limiter }
    }

    /// Answers refusals with `reject` instead: a [`Reject`] or a function from [`Rejection`] to a response.
    pub fn reject_with<R>(self, reject: R) -> RateLimitLayer<L, K, R>
    where
        K: Clone,
    {
        let extractor = self.shared.extractor.clone();
        RateLimitLayer { shared: Arc::new(Shared { extractor, reject }), limiter: self.limiter }
    }
}

impl<S, L: ?Sized, K, R> Layer<S> for RateLimitLayer<L, K, R> {
    type Service = RateLimit<S, L, K, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::clone(&self.limiter), Arc::clone(&self.shared))
    }
}

// Derived, these would ask the limiter and the functions to be `Clone` and `Debug`.
impl<L: ?Sized, K, R> Clone for RateLimitLayer<L, K, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), limiter: Arc::clone(&self.limiter) }
    }
}

impl<L: ?Sized, K, R> fmt::Debug for RateLimitLayer<L, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").finish_non_exhaustive()
    }
}
