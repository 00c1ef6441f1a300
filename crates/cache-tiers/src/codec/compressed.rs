//! Compression around another codec.

use zstd::bulk::{compress, decompress};

use super::{Codec, CodecError};

/// Bit in the form that marks compression, besides the form of the inner codec.
const COMPRESSED: u8 = 128;
/// Prefix of bytes that are not compressed.
const PLAIN: u8 = 0;
/// Prefix of compressed bytes, followed by their original length.
const ZSTD: u8 = 1;
/// The mark and the length.
const HEADER: usize = 5;

/// The bytes of another codec, compressed with Zstandard above a size.
///
/// The limit of the inner codec applies to its own bytes, before compression and after
/// decompression. Bytes that claim to be larger are refused before memory is allocated for them
/// ([`CodecError::TooBig`]). Bytes that turn out larger than they claim are refused too.
///
/// Around another `Compressed` it does nothing more than that one.
#[derive(Debug, Clone, Copy)]
pub struct Compressed<C> {
    inner: C,
    above: usize,
    level: i32,
}

impl<C> Compressed<C> {
    /// Compresses values of more than 1 KiB, at level 3.
    pub const fn new(inner: C) -> Self {
        Self { inner, above: 1024, level: 3 }
    }

    /// Compresses values above this number of bytes. A value that does not shrink is stored as is.
    #[must_use]
    pub const fn above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }

    /// Sets the Zstandard level: 1 (fast) to 19 (small), negative for faster. Clamped.
    #[must_use]
    pub const fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }
}

impl<V, C: Codec<V>> Codec<V> for Compressed<C> {
    fn version(&self) -> u8 {
        self.inner.version()
    }

    fn form(&self) -> u8 {
        self.inner.form() | COMPRESSED
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        if is_compressed::<V, C>(&self.inner) {
            return self.inner.encode(value);
        }
        let plain = self.inner.encode_shared(value)?;
        within(plain.len(), self.inner.limit())?;
        if let Ok(length) = u32::try_from(plain.len())
            && plain.len() > self.above
        {
            let small = compress(&plain, self.level).map_err(CodecError::failed)?;
            if small.len() + HEADER <= plain.len() {
                let mut out = Vec::with_capacity(HEADER + small.len());
                out.push(ZSTD);
                out.extend(length.to_be_bytes());
                out.extend(small);
                return Ok(out);
            }
        }
        let mut out = Vec::with_capacity(1 + plain.len());
        out.push(PLAIN);
        out.extend_from_slice(&plain);
        Ok(out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        if is_compressed::<V, C>(&self.inner) {
            return self.inner.decode(bytes);
        }
        match bytes {
            [PLAIN, plain @ ..] => {
                within(plain.len(), self.inner.limit())?;
                self.inner.decode(plain)
            }
            [ZSTD, a, b, c, d, small @ ..] => {
                let claimed = u32::from_be_bytes([*a, *b, *c, *d]);
                let length = usize::try_from(claimed).unwrap_or(usize::MAX);
                within(length, self.inner.limit())?;
                // Never allocates more than it may; a larger result is an error of its own.
                let plain = decompress(small, length).map_err(CodecError::failed)?;
                if plain.len() != length {
                    return Err(CodecError::failed("fewer bytes than were compressed"));
                }
                self.inner.decode(&plain)
            }
            _ => Err(CodecError::failed("neither plain nor compressed")),
        }
    }

    fn limit(&self) -> usize {
        let header = if is_compressed::<V, C>(&self.inner) { 0 } else { HEADER };
        self.inner.limit().saturating_add(header)
    }
}

/// Nested compression would have the other's form, and its bytes would be read as the other's.
fn is_compressed<V, C: Codec<V>>(inner: &C) -> bool {
    inner.form() & COMPRESSED != 0
}

fn within(length: usize, limit: usize) -> Result<(), CodecError> {
    if length > limit { Err(CodecError::TooBig { length, limit }) } else { Ok(()) }
}
