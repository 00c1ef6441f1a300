//! Reads whole bodies.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tidegate_base::TooSlow;

use crate::problem::Problem;

/// Refuses a body that is compressed or otherwise encoded, because the server would misread it.
///
/// # Errors
///
/// 415 unless every `Content-Encoding` is `identity`.
pub fn ensure_not_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let is_identity = |value: &HeaderValue| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
    };
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity) {
        return Ok(());
    }
    let detail = "the body has a `Content-Encoding`; send it without one";
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-encoding", detail);
    // RFC 9110, 12.5.3: the encodings that the resource accepts.
    Err(problem.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
///
/// 413 if it is longer, 408 if it is too slow, 400 if the client aborts.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let read = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::too_large(limit as u64)
        } else if let Some(too_slow) = TooSlow::cause_of(&*error) {
            Problem::too_slow(too_slow.to_string())
        } else {
            Problem::bad_request("body-broke-off", "the body was aborted before its end")
        }
    })?;
    Ok(read.to_bytes())
}
