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

/// Charges each request to one or several [`Limiter`]s, as a [`Policy`] says, before a service sees it. For everything that
/// speaks tower and `http`: axum, hyper, tonic.
///
/// An admitted request carries as extensions the [`Decisions`] of all its limiters and the [`Decision`](crate::Decision) that leaves
/// least, and its response the [headers](crate::headers). Where a limiter gives a place in a line, the request waits for its
/// turn, ten seconds at most unless `max_wait` says otherwise (feature `tokio`). A refused one never reaches the service: it is
/// answered by [`ProblemJson`], or by a [`Reject`] given to [`reject_with`](Self::reject_with), and the headers of the limiter
/// that refused are added to that. Requests of gRPC are told apart by their content type and get a gRPC status.
///
/// A call costs, beside the limiters, one boxed future, one box for each extension and one buffer for each header.
///
/// **A key that clients choose limits nobody**: who sends another API key with each request has a fresh limit with each, and who
/// sends none isn't counted. So count by address, which [`ByAddress`](crate::ByAddress) finds, by what has been recognised
/// already, or charge both:
///
/// ```
/// use std::{convert::Infallible, net::SocketAddr, sync::Arc};
/// use http::{Extensions, Request, Response};
/// use tidegate_ratelimit::{ByAddress, MemoryLimiter, Quota, RateLimitLayer, SlidingWindow};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = Arc::new(MemoryLimiter::builder("api", SlidingWindow::new(Quota::per_minute(1)?)).build());
/// let by_address = ByAddress::new(|peer: &Extensions| peer.get::<SocketAddr>().map(SocketAddr::ip));
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
/// A policy chooses limiters, keys and costs for each request. Here each is charged to its address, with room for all who share
/// one, and to its API key, of which the limiter sees a hash alone: the address bounds who invents keys or sends none, the
/// key bounds who has many addresses.
///
/// ```
/// # use std::{convert::Infallible, net::{IpAddr, SocketAddr}, sync::Arc};
/// # use http::{Extensions, Request, Response};
/// # use tidegate_ratelimit::*;
/// # use tower::{ServiceBuilder, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = |name: &str, quota| Arc::new(MemoryLimiter::builder(name, SlidingWindow::new(quota)).build());
/// let (addresses, keys) = (limiter("address", Quota::per_minute(300)?), limiter("key", Quota::per_minute(100)?));
/// let by_address = ByAddress::new(|peer: &Extensions| peer.get::<SocketAddr>().map(SocketAddr::ip));
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
/// let request = Request::get("/exports").extension(client).header("authorization", "Bearer s3cr3t").body(())?;
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

/// Shorter than clients and proxies have patience. Without a timer nobody waits here, and every place is told.
const DEFAULT_MAX_WAIT: Duration = if cfg!(feature = "tokio") { Duration::from_secs(10) } else { Duration::MAX };

impl<K> RateLimitLayer<ByKey<K>> {
    /// Charges one to the key that `extractor` finds, and answers refusals with [`ProblemJson`].
    pub fn new(limiter: Arc<dyn Limiter>, extractor: K) -> Self {
        Self::with_policy(ByKey::new(limiter, extractor))
    }
}

impl<P> RateLimitLayer<P> {
    /// Charges what `policy` says, and answers refusals with [`ProblemJson`].
    pub fn with_policy(policy: P) -> Self {
        let (policy, reject) = (Arc::new(policy), Arc::new(ProblemJson));
        Self { policy, reject, has_x_headers: false, max_wait: DEFAULT_MAX_WAIT }
    }
}

impl<P, R> RateLimitLayer<P, R> {
    /// Answers refusals with `reject` instead: a [`Reject`] or a function from [`Rejection`] to a response.
    pub fn reject_with<R2>(self, reject: R2) -> RateLimitLayer<P, R2> {
        let Self { policy, has_x_headers, max_wait, .. } = self;
        RateLimitLayer { policy, reject: Arc::new(reject), has_x_headers, max_wait }
    }

    /// Adds the triple `X-RateLimit-Limit`, `-Remaining` and `-Reset` too, of the limiter that leaves least.
    #[must_use]
    pub fn x_headers(mut self) -> Self {
        self.has_x_headers = true;
        self
    }

    /// Lets a request wait for its turn in a line for so long at most; ten seconds unless set. Whose turn comes later gives its
    /// place back and is refused at once, with a `Retry-After` until the line is short enough. Its limiter's statistics count
    /// it as admitted all the same.
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

// Derived, these would ask the policy and the functions to be `Clone` and `Debug`.
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
