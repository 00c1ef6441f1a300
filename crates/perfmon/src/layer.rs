//! The tower layer that times requests.

mod recording;
pub(crate) mod response;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::layer::recording::{Common, Recording};
use crate::layer::response::PerfFuture;
use crate::registry::Registry;

/// Records every request of the services it wraps.
///
/// `route` returns the route *template* of a request. In axum that is the matched path. Layers that
/// are added by `Router::layer` and `Router::route_layer` know it:
///
/// ```text
/// Router::new()
///     .route("/api/schedules/{id}", get(schedule))
///     .layer(PerfLayer::new(registry, |request: &axum::extract::Request| {
///         request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
///     }))
/// ```
///
/// `None` records the request under [`UNMATCHED`](crate::UNMATCHED). The time starts at the
/// [`ReceivedAt`](crate::ReceivedAt) in the request's extensions, or else at the call of the
/// service. It ends with the response's headers, so an event stream that stays open for hours
/// counts as fast as its start. The time that the request waited for its client (its
/// [`BodyWait`](crate::BodyWait)) is subtracted. A request whose future is dropped earlier is
/// recorded as aborted. A panic or an error of the service is recorded as a server error.
///
/// A slow or failed request is listed with its id, and with the trace from the
/// [`TraceContext`](crate::TraceContext) in its extensions.
///
/// Cost of a request: two clock reads, one route look-up, one lock at the start and one at the end,
/// and the record. Threads rarely share these locks. Nothing is allocated unless the request is
/// slow or fails.
#[derive(Debug, Clone)]
pub struct PerfLayer<F> {
    common: Arc<Common>,
    route: F,
}

impl<F> PerfLayer<F> {
    /// A layer that records into `registry`.
    pub fn new<B>(registry: Registry, route: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        let request_id = HeaderName::from_static("x-request-id");
        Self { common: Arc::new(Common { registry, request_id }), route }
    }

    /// Sets the header that identifies a request in the list of slow calls. It is looked up in the
    /// response first, then in the request. The default is `x-request-id`.
    #[must_use]
    pub fn request_id_header(mut self, name: HeaderName) -> Self {
        Arc::make_mut(&mut self.common).request_id = name;
        self
    }
}

impl<S, F: Clone> Layer<S> for PerfLayer<F> {
    type Service = PerfService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        PerfService { inner, layer: self.clone() }
    }
}

/// The service that [`PerfLayer`] makes.
#[derive(Debug, Clone)]
pub struct PerfService<S, F> {
    inner: S,
    layer: PerfLayer<F>,
}

impl<S, F, B, R> Service<Request<B>> for PerfService<S, F>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Fn(&Request<B>) -> Option<&str>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = PerfFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let PerfLayer { common, route } = &self.layer;
        let method = request.method().as_str();
        let endpoint = match route(&request) {
            Some(route) => common.registry.endpoint(method, route),
            None => common.registry.unmatched(method),
        };
        let mut recording = Recording::start(Arc::clone(common), endpoint, request.headers(), request.extensions());
        let future = recording.running(|| self.inner.call(request));
        PerfFuture::new(future, recording)
    }
}
