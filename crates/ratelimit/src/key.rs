//! The length of keys.

use crate::CheckError;

/// Maximum length of a key, in bytes. Shorten or hash longer keys. Because of this bound, a cap on
/// keys is also a cap on memory.
pub const MAX_KEY_BYTES: usize = 512;

pub(crate) fn ensure_short(key: &str) -> Result<(), CheckError> {
    let length = key.len();
    if length > MAX_KEY_BYTES { Err(CheckError::KeyTooLong { length, max: MAX_KEY_BYTES }) } else { Ok(()) }
}
