//! A whole body, or why there is none.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tidegate_app::serve::TooSlow;

use crate::problem::Problem;

/// Reads a body of at most `limit` bytes.
///
/// # Errors
///
/// 413 where it is longer, 408 where it comes too slowly, 400 where it breaks off: that is the client's doing, and not its length's.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let read = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::too_large(limit as u64)
        } else if let Some(too_slow) = TooSlow::cause_of(&*error) {
            Problem::too_slow(too_slow.to_string())
        } else {
            Problem::bad_request("body-broke-off", "the body broke off before its end")
        }
    })?;
    Ok(read.to_bytes())
}
