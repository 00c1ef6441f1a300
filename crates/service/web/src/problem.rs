//! Errors as RFC 9457 problem details.
//!
//! A handler returns a [`Problem`]. The outermost layer ([`crate::request_id`]) knows the request's
//! id: it writes the body and logs the cause.

mod of_accounts;
mod of_stores;

use std::error::Error;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_perfmon::Refused;
use tidegate_queue::JobId;

pub use self::of_stores::may_be_enqueued;

/// Maximum length of a detail in characters, because it may repeat any text from the client.
const MAX_DETAIL: usize = 1000;
/// Detail of a failure of the server.
const OF_OURS: &str = "the server failed; the log has the cause under this request_id";
const JOB_STORE_FULL: &str = "job-store-full";
/// Type of the problem for a lost reply to an enqueue.
const OUTCOME_UNKNOWN: &str = "outcome-unknown";
/// When a client may retry after a timeout or a lack of capacity. It is several seconds: whatever
/// blocks a database longer than its timeout rarely ends at once.
const TRY_AGAIN_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// An error for the client. Boxed, because most results are not errors.
#[derive(Debug, Clone)]
pub struct Problem(Box<Content>);

/// Marks a response whose body already shows the problem as a page.
#[derive(Debug, Clone, Copy)]
pub struct AsPage;

#[derive(Debug, Clone)]
struct Content {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: HeaderMap,
    /// For the log, never for the client.
    cause: Option<String>,
    /// Whether the refusal came before the client was authenticated.
    is_refusal: bool,
}

impl Problem {
    /// Creates a problem of that kind. Programs use `kind`, a stable word. People read `detail`, a
    /// sentence.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
            detail.push('…');
        }
        Self(Box::new(Content {
            status,
            kind,
            detail,
            members: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
            is_refusal: false,
        }))
    }

    /// 400.
    pub fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// The request can be parsed, but its content is not acceptable.
    pub fn unprocessable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail)
    }

    /// It does not exist, or belongs to another tenant.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The current state does not allow it.
    pub fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// The client is not authenticated. `detail` explains how to authenticate.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The client is authenticated but not permitted.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 413 for a body above `limit` bytes.
    pub fn too_large(limit: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body is larger than {limit} bytes"))
            // Only as much of the body is read as the client needs to see this response
            // ([`tidegate_server::linger`]), so the connection cannot be used again.
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// 408.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
            // As above.
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The request cannot be served now. A later attempt may succeed.
    pub fn unavailable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).try_again_later()
    }

    /// The reply to a change was lost. `detail` explains what may have changed, and how the client
    /// can find out.
    pub fn outcome_unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, OUTCOME_UNKNOWN, detail)
    }

    /// 500 for a handler that panicked.
    pub fn panicked() -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OF_OURS);
        problem.0.cause = Some("a handler panicked".to_owned());
        problem
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn try_again_later(self) -> Self {
        self.header(header::RETRY_AFTER, TRY_AGAIN_SECONDS)
    }

    /// Sets `Retry-After` on an unknown outcome if the request had an `Idempotency-Key`. Without
    /// one, the change could be made twice.
    #[must_use]
    pub fn retry_with_key(self, has_key: bool) -> Self {
        if has_key && self.0.kind == OUTCOME_UNKNOWN { self.try_again_later() } else { self }
    }

    /// Marks a response to an unauthenticated client, which counts neither as success nor as
    /// failure.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.0.is_refusal = true;
        self
    }

    /// Adds the error that the log names. The client does not see it.
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        // The text of these errors contains their causes.
        self.0.cause = Some(error.to_string());
        self
    }

    /// Whether the job store refused something because it is full.
    pub fn is_job_store_full(&self) -> bool {
        self.0.kind == JOB_STORE_FULL
    }

    /// Names the job that a failed request has enqueued, or may have enqueued.
    #[must_use]
    pub fn of_job(self, id: &JobId, location: impl Into<String>) -> Self {
        self.with("id", id.as_str()).with("location", location.into())
    }

    /// Whether the request itself is at fault, whatever the state of this service.
    pub fn is_of_client(&self) -> bool {
        self.0.status.is_client_error()
    }

    /// The sentence for the client.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The sentence for the log.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Adds a member beside the standard ones.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Lets `add` set headers.
    #[must_use]
    pub fn headers(mut self, add: impl FnOnce(&mut HeaderMap)) -> Self {
        add(&mut self.0.headers);
        self
    }

    /// Returns the body, with the ids of the request and of its trace.
    pub fn body(&self, request_id: &str, trace_id: &str) -> Vec<u8> {
        let mut body = json!({
            "type": format!("urn:tidegate:problem:{}", self.0.kind),
            "title": self.0.status.canonical_reason().unwrap_or("Error"),
            "status": self.0.status.as_u16(),
            "detail": self.0.detail,
            "request_id": request_id,
            "trace_id": trace_id,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.0.members.clone());
        }
        body.to_string().into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let mut response = self.0.status.into_response();
        *response.headers_mut() = std::mem::take(&mut self.0.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.is_refusal {
            response.extensions_mut().insert(Refused);
        }
        response.extensions_mut().insert(self);
        response
    }
}
