//! Errors as RFC 9457 problem details.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`crate::request_id`]) writes its body and logs its cause, since
//! only there the request's id is known.

use std::error::Error;
use std::io;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_perfmon::Refused;
use tidegate_queue::{BrokerError, GroupRefusal, JobId};
use tidegate_store::StoreError;

/// Longest detail in characters: it may repeat what the client sent, which may be anything.
const MAX_DETAIL: usize = 1000;
/// What a client is told of a failure of ours.
const OF_OURS: &str = "the server failed; the log has the cause under this request_id";
/// Type of the problem that a full job store is.
const JOB_STORE_FULL: &str = "job-store-full";
const FULL_DETAIL: &str = "the job store is full; nothing was enqueued; try again later";
/// Type of the problem that a lost reply to an enqueue is.
const OUTCOME_UNKNOWN: &str = "outcome-unknown";
const UNKNOWN_DETAIL: &str = "the job store did not answer; the request may have been enqueued: repeat it with the same \
                              `Idempotency-Key`; without one, look for the job before you send it again";
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

    /// The reply to a change was lost. `detail` says what may have changed, and how the client
    /// finds out.
    pub(crate) fn outcome_unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, OUTCOME_UNKNOWN, detail)
    }

    /// A failure of ours: 500, or 503 where it passes and trying again later may help. The cause goes to the log, not to
    /// the client.
    ///
    /// A full job store and an enqueue of unknown outcome have types of their own.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = of_job_store(error) {
            if error.is_full() {
                return Self::unavailable(JOB_STORE_FULL, FULL_DETAIL).caused_by(error);
            }
            if may_be_enqueued(error) {
                return Self::outcome_unknown(UNKNOWN_DETAIL).caused_by(error);
            }
        }
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

    /// A request of unknown outcome can be sent again if it had an `Idempotency-Key`. Without one it
    /// could be done twice, so no `Retry-After` asks for it.
    #[must_use]
    pub(crate) fn retry_with_key(self, has_key: bool) -> Self {
        if has_key && self.0.kind == OUTCOME_UNKNOWN { self.try_again_later() } else { self }
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

    /// Whether the job store refused something because it is full.
    pub(crate) fn is_job_store_full(&self) -> bool {
        self.0.kind == JOB_STORE_FULL
    }

    /// Names the job that a failed request has, or may have, enqueued.
    #[must_use]
    pub(crate) fn of_job(self, id: &JobId, location: impl Into<String>) -> Self {
        self.with("id", id.as_str()).with("location", location.into())
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
    error.downcast_ref().is_some_and(StoreError::is_transient)
        || error.downcast_ref().is_some_and(BrokerError::is_transient)
        || error.downcast_ref().is_some_and(is_full)
        || error.source().is_some_and(passes)
}

/// The job store's error at the bottom of whatever came of it.
fn of_job_store<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BrokerError> {
    error.downcast_ref().or_else(|| error.source().and_then(of_job_store))
}

/// Whether the error is that of an enqueue whose reply was lost: the job may be stored.
pub(crate) fn may_be_enqueued(error: &(dyn Error + 'static)) -> bool {
    let is_enqueue = |error: &BrokerError| matches!(error, BrokerError::Store { operation: "enqueue", .. });
    of_job_store(error).is_some_and(|error| error.may_have_run() && is_enqueue(error))
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Exists { .. } => Self::conflict("exists", error.to_string()),
            StoreError::Full { .. } => Self::conflict("full", error.to_string()),
            StoreError::OutcomeUnknown(_) => {
                let detail = "the connection to the database was lost during a commit, so the change may have been made; \
                              check before you send the request again";
                Self::outcome_unknown(detail).caused_by(error)
            }
            StoreError::Gone(_) => {
                let detail = "the data directory was deleted, moved or replaced; an operator has to restart the server";
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
        match error {
            BrokerError::Group(refusal @ GroupRefusal::Sealed(_)) => {
                Self::conflict("batch-sealed", format!("{refusal}: it takes no more jobs; nothing was enqueued"))
            }
            BrokerError::Group(refusal) => {
                Self::conflict("batch-elsewhere", format!("{refusal}; nothing was enqueued"))
            }
            other => Self::internal(other),
        }
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_node::jobs::{FilesNotAdmitted, NotAdmitted};
    use tidegate_queue::{EnqueueError, GroupError, ScheduleError};

    use super::*;

    fn broken(transient: bool) -> BrokerError {
        let source = "smoke in the disk".into();
        BrokerError::Store { operation: "enqueue", transient, may_have_run: false, source }
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
        let enqueue = || EnqueueError::from(broken(true));
        let passing: [&(dyn Error + 'static); 8] = [
            &enqueue(),
            &full(),
            &tidegate_domain::spool::SpoolError::from(full()),
            &FilesNotAdmitted::from(enqueue()),
            &FilesNotAdmitted::from(broken(true)),
            &NotAdmitted::from(broken(true)),
            &GroupError::from(enqueue()),
            &ScheduleError::from(broken(true)),
        ];
        for error in passing {
            assert!(passes(error), "{error:?}");
        }
        let staying: [&(dyn Error + 'static); 3] =
            [&EnqueueError::from(broken(false)), &io::Error::other("broken"), &StoreError::CutOff];
        for error in staying {
            assert!(!passes(error), "{error:?}");
        }
    }

    fn told(error: &(dyn Error + 'static)) -> (StatusCode, Value) {
        let response = Problem::internal(error).retry_with_key(true).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], TRY_AGAIN_SECONDS);
        let body = response.extensions().get::<Problem>().unwrap().body("id", "trace");
        (response.status(), serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_full_job_store_is_a_problem_of_its_own() {
        let full = || BrokerError::Full { operation: "enqueue", source: "OOM".into() };
        let errors: [&(dyn Error + 'static); 3] =
            [&full(), &EnqueueError::from(full()), &FilesNotAdmitted::from(EnqueueError::from(full()))];
        for error in errors {
            let (status, body) = told(error);
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(body["type"], "urn:tidegate:problem:job-store-full");
            assert!(body["detail"].as_str().unwrap().contains("the job store is full"), "{body}");
        }
    }

    #[test]
    fn a_lost_reply_to_an_enqueue_is_not_reported_as_nothing_done() {
        let lost = |operation| {
            let source = "no reply".into();
            BrokerError::Store { operation, transient: true, may_have_run: true, source }
        };
        let errors: [&(dyn Error + 'static); 3] = [
            &lost("enqueue"),
            &EnqueueError::from(lost("enqueue")),
            &FilesNotAdmitted::from(EnqueueError::from(lost("enqueue"))),
        ];
        for error in errors {
            let (status, body) = told(error);
            assert_eq!(
                (status, &body["type"]),
                (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:tidegate:problem:outcome-unknown"))
            );
            assert!(body["detail"].as_str().unwrap().contains("may have been enqueued"), "{body}");
            let without_key = Problem::internal(error).retry_with_key(false).into_response();
            assert!(!without_key.headers().contains_key(header::RETRY_AFTER), "it could be done twice");
        }
        assert_eq!(told(&lost("read job")).1["type"], "urn:tidegate:problem:unavailable", "a read changes nothing");
    }

    #[test]
    fn a_commit_of_unknown_outcome_is_not_to_be_repeated_blindly() {
        let error = StoreError::OutcomeUnknown(io::Error::other("the connection was reset").into());
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!response.headers().contains_key(header::RETRY_AFTER), "it could be done twice");
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
