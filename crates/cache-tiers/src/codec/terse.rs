//! Errors of a codec without the value: errors go to events and logs, and values may be secret.

use super::CodecError;

/// Serde's own text quotes the value (`invalid type: string "…"`).
#[cfg(any(feature = "json", feature = "sessions"))]
pub fn json(error: &serde_json::Error) -> CodecError {
    use serde_json::error::Category;

    let what = match error.classify() {
        Category::Io => "can't be written",
        Category::Syntax => "is no JSON",
        Category::Data => "is JSON of another shape",
        Category::Eof => "ends too early",
    };
    CodecError::failed(format!("the value {what}, at line {} column {}", error.line(), error.column()))
}

#[cfg(feature = "messagepack")]
pub(crate) fn message_pack(error: &rmp_serde::decode::Error) -> CodecError {
    use rmp_serde::decode::Error;

    CodecError::failed(match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the value ends too early",
        Error::DepthLimitExceeded => "the value is nested too deeply",
        Error::Utf8Error(_) => "a text of the value is no UTF-8",
        _ => "the value is MessagePack of another shape, or none",
    })
}
