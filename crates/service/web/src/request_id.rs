//! Gives every request an id, every problem its body, and every failure its line in the log.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use tidegate_base::LogThrottle;
use tidegate_perfmon::{TraceContext, UNMATCHED, mask};
use tidegate_telemetry::set_request_trace;
use tidegate_telemetry::trace::{self, REQUEST_TARGET};
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::{AsPage, Problem};
use tidegate_server::fn_layer::{Inner, answered};

/// The header that carries the id of a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id that is taken from a client.
const MAX_LENGTH: usize = 64;

/// Maximum number of bytes of a path in a span. A path may fill the whole head.
const LONGEST_PATH: usize = 256;

/// Sets `X-Request-Id` on the response, and writes the body of a [`Problem`].
///
/// Inner layers find the id in the request's own header, whatever the client sent in it.
pub fn layer<S: Inner>((): (), mut request: Request, inner: &mut S) -> impl Future<Output = Response> + Send + use<S> {
    let header = id_of(&request);
    request.headers_mut().insert(X_REQUEST_ID, header.clone());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    // The collector of statements matches on the target, `id` and `route`.
    let span = tracing::debug_span!(
        target: REQUEST_TARGET,
        "request",
        otel.kind = "server",
        id = header.to_str().unwrap_or_default(),
        route,
        %method,
        path = &uri.path()[..uri.path().floor_char_boundary(LONGEST_PATH)],
    );
    // Before the span is entered, because its parent can be set only until then. The request
    // carries the context as an extension.
    let context = trace::begin_request(&span, request.headers(), &method, route);
    set_request_trace(&span, context);
    request.extensions_mut().insert(context);
    let answer = span.in_scope(|| answered(inner.call(request))).instrument(span.clone());
    async move {
        let mut response = answer.await;
        trace::end_request(&span, response.status());
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            write(&problem, &mut response, &header, context, &method, &uri);
        }
        response.headers_mut().insert(X_REQUEST_ID, header);
        // For the access log, which is outside of this layer.
        response.extensions_mut().insert(context);
        response
    }
}

/// Writes the problem's body, and its line of the log.
fn write(
    problem: &Problem,
    response: &mut Response,
    id: &HeaderValue,
    context: TraceContext,
    method: &Method,
    uri: &Uri,
) {
    let id = id.to_str().unwrap_or_default();
    let trace_id = format!("{:032x}", context.trace_id());
    if let Some(cause) = problem.cause() {
        log(response.status(), id, &trace_id, method, uri.path(), cause);
    }
    if response.extensions().get::<AsPage>().is_none() {
        let body = problem.body(id, &trace_id);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
}

/// Returns the client's id if it is short, harmless and does not look like a secret, because it is
/// shown and logged. Otherwise a new one.
fn id_of(request: &Request) -> HeaderValue {
    let sent = request.headers().get(X_REQUEST_ID).filter(|value| {
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=MAX_LENGTH).contains(&value.len())
            && value.as_bytes().iter().all(is_harmless)
            && value.to_str().is_ok_and(|text| matches!(mask(text), Cow::Borrowed(_)))
    });
    sent.cloned().unwrap_or_else(|| {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let text = Uuid::new_v4().simple().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// While a store is unavailable, each request would log a line.
static NOT_SERVED: LogThrottle = LogThrottle::new(Duration::from_secs(1));

/// The event has the fields itself, because the span exists only at level debug. The path has no
/// query, which may contain secrets. Both are masked, because they may still contain an address.
fn log(status: StatusCode, id: &str, trace_id: &str, method: &Method, path: &str, cause: &str) {
    let (path, cause) = (&*mask(path), &*mask(cause));
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id = %id, trace_id, %method, path, cause, "request failed");
    } else if let Some(unlogged) = NOT_SERVED.count() {
        tracing::warn!(request_id = %id, trace_id, %method, path, cause, unlogged, "request not served");
    } else {
        tracing::debug!(request_id = %id, trace_id, %method, path, cause, "request not served");
    }
}
