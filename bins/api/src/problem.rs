//! Errors as RFC 9457 problem details.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`crate::request_id`]) writes its body and logs its cause, since
//! only there the request's id is known.

use std::error::Error;
use std::io;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_app::store::StoreError;
use tidegate_perfmon::Refused;
use tidegate_queue::{BrokerError, EnqueueError};

/// Longest detail in characters: it may repeat what the client sent, which may be anything.
const MAX_DETAIL: usize = 1000;
/// What a client is told of a failure of ours.
const OF_OURS: &str = "the server failed; the log has the cause under this request_id";
/// When a client may try again what failed for want of time or room: some seconds, since what holds a database for longer
/// than its own patience seldom lets go at once.
const TRY_AGAIN_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What went wrong, for the client. Boxed, since most results are not one.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Content>);

/// On an answer: its body shows the problem already, to a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsPage;

#[derive(Debug, Clone)]
struct Content {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: HeaderMap,
    /// For the log, never for the client.
    cause: Option<String>,
    /// Said before it was asked who wants to know.
    is_refusal: bool,
}

impl Problem {
    /// A problem of that kind; `kind` is a stable word for programs, `detail` a sentence for people.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
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
            // Of what is left of the body only so much is read that the client sees this answer
            // ([`crate::linger`]), so the connection can't be used again.
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The body is not waited for any longer.
    pub(crate) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
            // As above.
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Nobody can say now; trying again later may help.
    pub(crate) fn unavailable(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).try_again_later()
    }

    /// A failure of ours: 500, or 503 where it passes and trying again later may help. The cause goes to the log, not to
    /// the client.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        if passes(error) {
            let detail = "a store is away, too busy or full; try again later";
            return Self::unavailable("unavailable", detail).caused_by(error);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OF_OURS).caused_by(error)
    }

    /// A handler panicked.
    pub(crate) fn panicked() -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OF_OURS);
        problem.0.cause = Some("a handler panicked".to_owned());
        problem
    }

    /// Tells the client when to try again.
    #[must_use]
    pub(crate) fn try_again_later(self) -> Self {
        self.header(header::RETRY_AFTER, TRY_AGAIN_SECONDS)
    }

    /// Said to anybody, before it is known who asks: neither a good answer nor a bad one.
    #[must_use]
    pub(crate) fn refused(mut self) -> Self {
        self.0.is_refusal = true;
        self
    }

    /// Keeps the cause for the log.
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        // Our errors say in their own text what they stand on.
        self.0.cause = Some(error.to_string());
        self
    }

    /// Whether what was asked for can't be, whatever the state of this service.
    pub(crate) fn is_of_client(&self) -> bool {
        self.0.status.is_client_error()
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What the log has to say about it.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
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

    /// The body, with the id of the request that it answers, and of the trace that this is part of.
    pub(crate) fn body(&self, request_id: &str, trace_id: &str) -> Vec<u8> {
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

/// Whether a store was busy or full, at the bottom of whatever came of it.
fn passes(error: &(dyn Error + 'static)) -> bool {
    let is_full = |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    // An enqueue's error speaks for the broker's in its own name.
    let is_enqueue = |error: &EnqueueError| matches!(error, EnqueueError::Broker(error) if error.is_transient());
    error.downcast_ref().is_some_and(StoreError::is_transient)
        || error.downcast_ref().is_some_and(BrokerError::is_transient)
        || error.downcast_ref().is_some_and(is_enqueue)
        || error.downcast_ref().is_some_and(is_full)
        || error.source().is_some_and(passes)
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Exists { .. } => Self::conflict("exists", error.to_string()),
            StoreError::Full { .. } => Self::conflict("full", error.to_string()),
            StoreError::OutcomeUnknown(_) => {
                let detail = "the database was lost during a commit; whether it has changed anything is not known: look before \
                              you send it again";
                Self::unavailable("unavailable", detail).caused_by(error)
            }
            other => Self::internal(other),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&BrokerError> for Problem {
    fn from(error: &BrokerError) -> Self {
        Self::internal(error)
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(transient: bool) -> BrokerError {
        BrokerError::Store { operation: "enqueue", transient, source: "smoke in the disk".into() }
    }

    #[test]
    fn what_passes_is_unavailable_and_says_when_to_come_back() {
        let response = Problem::from(broken(true)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], TRY_AGAIN_SECONDS);

        let response = Problem::from(broken(false)).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn what_passes_is_found_at_the_bottom() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let passing: [&(dyn Error + 'static); 3] =
            [&EnqueueError::from(broken(true)), &full(), &tidegate_app::spool::SpoolError::from(full())];
        for error in passing {
            assert!(passes(error), "{error:?}");
        }
        let staying: [&(dyn Error + 'static); 3] =
            [&EnqueueError::from(broken(false)), &io::Error::other("broken"), &StoreError::CutOff];
        for error in staying {
            assert!(!passes(error), "{error:?}");
        }
    }

    #[test]
    fn the_cause_is_kept_for_the_log_and_not_told() {
        for transient in [true, false] {
            let response = Problem::from(broken(transient)).into_response();
            let problem = response.extensions().get::<Problem>().unwrap();
            assert!(problem.cause().unwrap().contains("smoke in the disk"), "{problem:?}");
            let told = String::from_utf8(problem.body("id", "trace")).unwrap();
            assert!(!told.contains("smoke in the disk"), "{told}");
            assert!(told.contains("\"request_id\":\"id\"") && told.contains("\"trace_id\":\"trace\""), "{told}");
        }
        assert_eq!(Problem::not_found("nothing").cause(), None);
    }
}
