//! Errors as RFC 9457 problem details.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`crate::request_id`]) writes its body, since only there the
//! request's id is known.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_app::store::StoreError;

/// Longest detail in characters: it may repeat what the client sent, which may be anything.
const MAX_DETAIL: usize = 1000;

/// What went wrong, for the client. Boxed, since most results are not one.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Content>);

#[derive(Debug, Clone)]
struct Content {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem of that kind; `kind` is a stable word for programs, `detail` a sentence for people.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
            detail.push('…');
        }
        Self(Box::new(Content { status, kind, detail, members: Map::new(), headers: HeaderMap::new() }))
    }

    /// The request can't be understood.
    pub(crate) fn bad_request(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// The request is understood, and what it says is not acceptable.
    pub(crate) fn unprocessable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail)
    }

    /// There is no such thing, or it is somebody else's.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The state of things doesn't allow it.
    pub(crate) fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// The client has not shown who it is. `detail` says how it can.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The client is known and may not.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The body is larger than `limit` bytes.
    pub(crate) fn too_large(limit: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body is larger than {limit} bytes"))
            // What is left of the body is not read, so the connection can't be used again.
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// A failure of ours. The cause goes to the log, not to the client.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; the log has the cause")
    }

    /// Adds a member beside the standard ones.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Lets `add` write headers.
    #[must_use]
    pub(crate) fn headers(mut self, add: impl FnOnce(&mut HeaderMap)) -> Self {
        add(&mut self.0.headers);
        self
    }

    /// The body, with the id of the request that it answers.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let mut body = json!({
            "type": format!("urn:tidegate:problem:{}", self.0.kind),
            "title": self.0.status.canonical_reason().unwrap_or("Error"),
            "status": self.0.status.as_u16(),
            "detail": self.0.detail,
            "request_id": request_id,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.0.members.clone());
        }
        body.to_string().into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        *response.headers_mut() = self.0.headers.clone();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Exists { .. } => Self::conflict("exists", error.to_string()),
            other => Self::internal(other),
        }
    }
}
