//! The responses to refused requests.

use std::sync::Once;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::grpc;
use crate::headers::whole_seconds;
use crate::{CheckError, Denial};

/// The response if the server cannot determine a key for the client.
pub(super) const NO_KEY: &str = "the server can't tell its clients apart; its log has the cause";

/// Reason why a request does not reach the service.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Rejection<'a> {
    /// The limiter refused.
    Denied {
        /// The limiter's name.
        limiter: &'a str,
        /// The denial.
        denial: &'a Denial,
    },
    /// The request contains an invalid key. No limiter was called.
    BadKey {
        /// The error, for the client.
        reason: &'a str,
    },
    /// The server lacks the data for the key, e.g. the peer's address. No limiter was called.
    NoKey {
        /// The cause, for the log only.
        reason: &'a str,
    },
    /// The maximum number of requests is running.
    Busy {
        /// The limiter's name.
        limiter: &'a str,
        /// When to retry.
        retry_after: Duration,
    },
    /// The limiter had no decision.
    Failed {
        /// The limiter's name.
        limiter: &'a str,
        /// The reason.
        error: &'a CheckError,
    },
}

impl Rejection<'_> {
    /// Logs an error of the server's configuration, once per process.
    pub(crate) fn log(&self) {
        static LOGGED: Once = Once::new();
        if let Self::NoKey { reason } = self {
            LOGGED.call_once(|| tracing::error!("{reason}"));
        }
    }
}

/// Builds the response to a request that does not reach the service.
pub trait Reject<B> {
    /// Builds the response. The rate limit headers of a denial are added afterwards.
    fn reject(&self, rejection: Rejection<'_>) -> Response<B>;

    /// Builds the response to a request with a gRPC `Content-Type`. Defaults to
    /// [`reject`](Self::reject).
    fn reject_grpc(&self, rejection: Rejection<'_>) -> Response<B> {
        self.reject(rejection)
    }
}

impl<B, F: Fn(Rejection<'_>) -> Response<B>> Reject<B> for F {
    fn reject(&self, rejection: Rejection<'_>) -> Response<B> {
        self(rejection)
    }
}

/// Answers with `application/problem+json` (RFC 9457) and `Cache-Control: no-store`:
///
/// - 429 for a denial;
/// - 400 for a key that is invalid or too long, and for a cost that can never fit;
/// - 500 if the server lacks the data for the key;
/// - 503 if too many requests are running or the limiter cannot count.
///
/// gRPC requests are answered as with [`GrpcStatus`](super::GrpcStatus).
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemJson;

impl<B: From<String>> Reject<B> for ProblemJson {
    fn reject(&self, rejection: Rejection<'_>) -> Response<B> {
        let (status, title, detail) = match rejection {
            Rejection::Denied { limiter, denial } => {
                let seconds = whole_seconds(denial.retry_after);
                let detail = format!("limit {} of {limiter} reached; retry after {seconds} s", denial.quota);
                (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", detail)
            }
            Rejection::BadKey { reason } => (StatusCode::BAD_REQUEST, "Bad Request", reason.to_owned()),
            Rejection::NoKey { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", NO_KEY.to_owned()),
            Rejection::Failed { error: error @ CheckError::CostExceedsLimit { .. }, .. } => {
                (StatusCode::BAD_REQUEST, "Bad Request", error.to_string())
            }
            Rejection::Busy { limiter, retry_after } => {
                let seconds = whole_seconds(retry_after);
                let detail = format!("{limiter} is at its limit of requests at a time; retry after {seconds} s");
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail)
            }
            Rejection::Failed { error: CheckError::KeyTooLong { .. }, .. } => {
                (StatusCode::BAD_REQUEST, "Bad Request", "the client's identity is too long".to_owned())
            }
            Rejection::Failed { limiter, .. } => {
                let detail = format!("{limiter} can't count this request now");
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail)
            }
        };
        let status_code = status.as_u16();
        let detail = escaped(&detail);
        let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{status_code},"detail":"{detail}"}}"#);
        let mut response = Response::new(B::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn reject_grpc(&self, rejection: Rejection<'_>) -> Response<B> {
        grpc::response(B::from(String::new()), &rejection)
    }
}

/// Escapes the content of a JSON string. Only a limiter's name can require it.
fn escaped(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if u32::from(control) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json
}
