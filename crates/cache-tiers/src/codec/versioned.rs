//! A value after its codec's version, one byte: for a Redis key that no other codec writes.

use super::{Codec, CodecError};

pub fn pack<V: 'static>(codec: &dyn Codec<V>, value: &V) -> Result<Vec<u8>, CodecError> {
    let bytes = codec.encode(value)?;
    let (length, limit) = (bytes.len(), codec.limit());
    if length > limit {
        return Err(CodecError::TooBig { length, limit });
    }
    let mut packed = Vec::with_capacity(1 + length);
    packed.push(codec.version());
    packed.extend_from_slice(&bytes);
    Ok(packed)
}

/// `at` is the offset of `packed` in the bytes read, for the error.
pub fn open<V: 'static>(codec: &dyn Codec<V>, packed: &[u8], at: usize) -> Result<V, CodecError> {
    let (found, value) = packed.split_first().ok_or(CodecError::NotAnEntry { at })?;
    match codec.version() {
        expected if expected != *found => Err(CodecError::Version { found: *found, expected }),
        _ => codec.decode(value),
    }
}
