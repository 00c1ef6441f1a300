//! Conversions of values of the alert tables.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::value::{Row, Value};

/// Returns a text without zero bytes, which PostgreSQL can't store.
pub(super) fn text(text: &str) -> Value<'_> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Serializes to JSON. Numbers and texts always succeed.
pub(super) fn written<T: Serialize>(value: &T) -> Value<'static> {
    serde_json::to_string(value).unwrap_or_default().into()
}

/// Reads JSON. `None` if a newer version wrote it and it can't be read.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, StoreError> {
    Ok(serde_json::from_str(&row.text(column)?).ok())
}

/// Converts a number for the tables.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a number of the tables.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
