//! Conversion of an entry to a value.

use super::entry::Entry;
use crate::codec::{Codec, CodecError, Format};
use crate::fill::Fill;

/// The value of an entry, with the tags that it carries.
pub(super) fn unpack<V: 'static>(codec: &dyn Codec<V>, entry: Entry) -> Result<Fill<V>, CodecError> {
    let value = decode(codec, entry.codec, &entry.value)?;
    let mut fill = Fill::new(value).tags(entry.tags.into_iter().map(|(tag, _)| tag));
    fill.grace = Some(entry.grace);
    Ok(fill)
}

fn decode<V: 'static>(codec: &dyn Codec<V>, found: Format, bytes: &[u8]) -> Result<V, CodecError> {
    let (expected, length, limit) = (Format::of(codec), bytes.len(), codec.limit());
    if found.form != expected.form {
        return Err(CodecError::Form { found: found.form, expected: expected.form });
    }
    if found.version != expected.version {
        return Err(CodecError::Version { found: found.version, expected: expected.version });
    }
    if length > limit {
        return Err(CodecError::TooBig { length, limit });
    }
    codec.decode(bytes)
}
