//! The tower layer: limiters in front of a service.

mod decisions;
mod grpc;
#[cfg(feature = "tokio")]
mod line;
mod policy;
mod reject;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

pub use decisions::Decisions;
pub use grpc::GrpcStatus;
pub(crate) use grpc::is_grpc;
pub use policy::{ByKey, Charge, Charges, Policy};
pub use reject::{ProblemJson, Reject, Rejection};
pub use service::RateLimit;

use crate::Limiter;

/// Charges each request to one or several [`Limiter`]s before it reaches a service, as determined
/// by a [`Policy`]. Works with every framework that uses tower and `http`: axum, hyper, tonic.
///
/// An admitted request carries two extensions: the [`Decisions`] of all its limiters, and the
/// [`Decision`](crate::Decision) with the least remaining. Its response carries the
/// [headers](crate::headers) of all these decisions. If a limiter assigns a delay, the request
/// waits for its turn, for ten seconds at most unless `max_wait` is set (feature `tokio`).
///
/// A refused request never reaches the service. [`ProblemJson`] answers it, or the [`Reject`] that
/// was set with [`reject_with`](Self::reject_with). The headers of the limiter that refused are
/// added to that response. A gRPC request is recognised by its content type and gets a gRPC status.
///
/// Besides the limiters, a call costs a boxed future, a box per extension and a buffer per header.
///
/// **A key that the client chooses does not limit anyone**: a client that sends a new API key with
/// each request gets a fresh limit each time, and a client that sends none is not counted. Count by
/// client address, as [`ByAddress`](crate::ByAddress) does, or by an identity that has been
/// authenticated already, or charge both:
///
/// ```
/// use std::{convert::Infallible, net::SocketAddr, sync::Arc};
/// use http::{Extensions, Request, Response};
/// use tidegate_ratelimit::{ByAddress, MemoryLimiter, Quota, RateLimitLayer, SlidingWindow};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter =
///     Arc::new(MemoryLimiter::builder("api", SlidingWindow::new(Quota::per_minute(1)?)).build());
/// let by_address =
///     ByAddress::new(|peer: &Extensions| peer.get::<SocketAddr>().map(SocketAddr::ip));
/// let service = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(limiter, by_address))
///     .service(service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new()))));
///
/// let client = SocketAddr::from(([203, 0, 113, 7], 50_000)); // the server puts it there
/// let request = || Request::builder().extension(client).body(());
/// let first = service.clone().oneshot(request()?).await?;
/// assert_eq!(first.headers()["ratelimit"], "\"api\";r=0;t=60");
/// let second = service.oneshot(request()?).await?;
/// assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"60".parse()?));
/// # Ok(())
/// # }
/// ```
///
/// A policy chooses limiters, keys and costs for each request. In this example each request is
/// charged to its address and to its API key. The address has a higher limit, because several
/// clients can share it, and bounds clients that invent keys or send none. The key bounds clients
/// that have many addresses. The limiter sees only a hash of the key.
///
/// ```
/// # use std::{convert::Infallible, net::{IpAddr, SocketAddr}, sync::Arc};
/// # use http::{Extensions, Request, Response};
/// # use tidegate_ratelimit::*;
/// # use tower::{ServiceBuilder, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = |name: &str, quota| {
///     Arc::new(MemoryLimiter::builder(name, SlidingWindow::new(quota)).build())
/// };
/// let (addresses, keys) =
///     (limiter("address", Quota::per_minute(300)?), limiter("key", Quota::per_minute(100)?));
/// let by_address =
///     ByAddress::new(|peer: &Extensions| peer.get::<SocketAddr>().map(SocketAddr::ip));
/// let by_key = ByApiKey::bearer();
/// let policy = move |request: &Request<()>| {
///     let cost = match request.uri().path() {
///         "/health" => return Charges::none(),
///         "/exports" => 10,
///         _ => 1,
///     };
///     let address = Charge::new(addresses.clone(), by_address.key(request)).cost(cost);
///     Charges::from(address).and(Charge::new(keys.clone(), by_key.key(request)).cost(cost))
/// };
/// let service = ServiceBuilder::new()
///     .layer(RateLimitLayer::with_policy(policy).x_headers())
///     .service(service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new()))));
///
/// let client = SocketAddr::from(([203, 0, 113, 7], 50_000));
/// let request = Request::get("/exports")
///     .extension(client)
///     .header("authorization", "Bearer s3cr3t")
///     .body(())?;
/// assert_eq!(service.oneshot(request).await?.headers()["x-ratelimit-remaining"], "90");
/// # Ok(())
/// # }
/// ```
pub struct RateLimitLayer<P, R = ProblemJson> {
    policy: Arc<P>,
    reject: Arc<R>,
    has_x_headers: bool,
    max_wait: Duration,
}

/// Shorter than the timeouts of clients and proxies. Without the feature `tokio` there is no timer:
/// no request waits here, and the delay is reported to the caller whatever its length.
const DEFAULT_MAX_WAIT: Duration = if cfg!(feature = "tokio") { Duration::from_secs(10) } else { Duration::MAX };

impl<K> RateLimitLayer<ByKey<K>> {
    /// Charges one to the key that `extractor` finds, and answers refusals with [`ProblemJson`].
    pub fn new(limiter: Arc<dyn Limiter>, extractor: K) -> Self {
        Self::with_policy(ByKey::new(limiter, extractor))
    }
}

impl<P> RateLimitLayer<P> {
    /// Charges according to `policy`, and answers refusals with [`ProblemJson`].
    pub fn with_policy(policy: P) -> Self {
        let (policy, reject) = (Arc::new(policy), Arc::new(ProblemJson));
        Self { policy, reject, has_x_headers: false, max_wait: DEFAULT_MAX_WAIT }
    }
}

impl<P, R> RateLimitLayer<P, R> {
    /// Answers refusals with `reject`: a [`Reject`], or a function from [`Rejection`] to a
    /// response.
    pub fn reject_with<R2>(self, reject: R2) -> RateLimitLayer<P, R2> {
        let Self { policy, has_x_headers, max_wait, .. } = self;
        RateLimitLayer { policy, reject: Arc::new(reject), has_x_headers, max_wait }
    }

    /// Also adds `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the binding limiter.
    #[must_use]
    pub fn x_headers(mut self) -> Self {
        self.has_x_headers = true;
        self
    }

    /// Sets the maximum time that a request waits for its turn; ten seconds by default. If the
    /// delay is longer, the request returns its place in the queue and is refused immediately, with
    /// a `Retry-After` that says when the queue is short enough. Statistics count it as admitted.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }
}

impl<S, P, R> Layer<S> for RateLimitLayer<P, R> {
    type Service = RateLimit<S, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.clone())
    }
}

// A derived implementation would require `Clone` and `Debug` of the policy and of the functions.
impl<P, R> Clone for RateLimitLayer<P, R> {
    fn clone(&self) -> Self {
        let (policy, reject) = (Arc::clone(&self.policy), Arc::clone(&self.reject));
        Self { policy, reject, has_x_headers: self.has_x_headers, max_wait: self.max_wait }
    }
}

impl<P, R> fmt::Debug for RateLimitLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").finish_non_exhaustive()
    }
}
