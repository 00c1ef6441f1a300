//! Refusals in gRPC format: HTTP 200, no body, and the status in the headers ("Trailers-Only").

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{HeaderMap as Headers, Response};

use super::reject::NO_KEY;
use super::{Reject, Rejection};
use crate::CheckError;
use crate::headers::whole_seconds;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When a client may retry automatically, in milliseconds (gRFC A6).
const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The codes of <https://grpc.io/docs/guides/status-codes/> that a refusal can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Internal = 13,
    Unavailable = 14,
}

/// Answers every refusal in gRPC format:
///
/// - `RESOURCE_EXHAUSTED` (8) for a denial, with `grpc-retry-pushback-ms` and `retry-after`;
/// - `INVALID_ARGUMENT` (3) for an invalid key or a cost that can never fit;
/// - `INTERNAL` (13) if the server lacks the data for the key;
/// - `UNAVAILABLE` (14) if the limiter cannot count, or too many requests are running.
///
/// [`ProblemJson`](super::ProblemJson) does this for gRPC requests. Use `GrpcStatus` for body types
/// that cannot be built from a `String`, such as tonic's.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatus;

impl<B: Default> Reject<B> for GrpcStatus {
    fn reject(&self, rejection: Rejection<'_>) -> Response<B> {
        response(B::default(), &rejection)
    }
}

/// Whether the content type is gRPC's. gRPC-Web is excluded: its responses differ.
pub(crate) fn is_grpc(headers: &Headers) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (name, rest) = content_type.split_at_checked(16).unwrap_or((content_type, b""));
    name.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

pub(super) fn response<B>(empty: B, rejection: &Rejection<'_>) -> Response<B> {
    let (code, message) = match rejection {
        Rejection::Denied { limiter, denial } => {
            let seconds = whole_seconds(denial.retry_after);
            let message = format!("limit {} of {limiter} reached; retry after {seconds} s", denial.quota);
            (Code::ResourceExhausted, message)
        }
        Rejection::BadKey { reason } => (Code::InvalidArgument, (*reason).to_owned()),
        Rejection::NoKey { .. } => (Code::Internal, NO_KEY.to_owned()),
        Rejection::Failed { error: error @ CheckError::CostExceedsLimit { .. }, .. } => {
            (Code::InvalidArgument, error.to_string())
        }
        Rejection::Failed { error: CheckError::KeyTooLong { .. }, .. } => {
            (Code::InvalidArgument, "the client's identity is too long".to_owned())
        }
        Rejection::Busy { limiter, .. } => {
            (Code::Unavailable, format!("{limiter} is at its limit of requests at a time"))
        }
        Rejection::Failed { limiter, .. } => (Code::Unavailable, format!("{limiter} can't count this request now")),
    };
    let mut response = Response::new(empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    insert(headers, GRPC_MESSAGE, percent_encoded(&message));
    let retry_after = match rejection {
        Rejection::Denied { denial, .. } => Some(denial.retry_after),
        Rejection::Busy { retry_after, .. } => Some(*retry_after),
        _ => None,
    };
    if let Some(retry_after) = retry_after {
        let millis = retry_after.as_micros().div_ceil(1_000);
        headers.insert(RETRY_PUSHBACK, HeaderValue::from(i32::try_from(millis).unwrap_or(i32::MAX)));
    }
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // Only visible ASCII and spaces, so it is a valid value.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Encodes every byte except visible ASCII and spaces, and the percent sign.
fn percent_encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
            visible => text.push(char::from(visible)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> bool {
        is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]))
    }

    #[test]
    fn grpc_is_told_from_what_looks_like_it() {
        for grpc in ["application/grpc", "application/grpc+proto", "Application/gRPC;charset=utf-8"] {
            assert!(of(grpc), "{grpc}");
        }
        for other in ["", "application/json", "application/grpc-web", "application/grpcx", "text/application/grpc"] {
            assert!(!of(other), "{other}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("100 % of \"é\"\r\n"), "100 %25 of \"%C3%A9\"%0D%0A");
    }
}
