//! Values that are bytes already.

use bytes::Bytes;

use super::{Codec, CodecError, LIMIT};

/// Bytes as they are: `Bytes`, `Vec<u8>`, and text as `String`.
///
/// An encode of `Bytes` copies nothing before the entry is put together. A decode copies once: a
/// reply of Redis shares its memory with other replies, which a value in L1 would keep.
#[derive(Debug, Clone, Copy)]
pub struct RawBytes {
    limit: usize,
}

impl RawBytes {
    /// Bytes, at most 1 MiB of them.
    pub const fn new() -> Self {
        Self { limit: LIMIT }
    }

    /// Sets another limit, in bytes.
    #[must_use]
    pub const fn at_most(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for RawBytes {
    fn default() -> Self {
        Self::new()
    }
}

/// One form for all of them, because the program interprets the bytes.
const FORM: u8 = 3;

impl Codec<Bytes> for RawBytes {
    fn version(&self) -> u8 {
        0
    }

    fn form(&self) -> u8 {
        FORM
    }

    fn encode(&self, value: &Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(value.to_vec())
    }

    fn encode_shared(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

impl Codec<Vec<u8>> for RawBytes {
    fn version(&self) -> u8 {
        0
    }

    fn form(&self) -> u8 {
        FORM
    }

    fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

impl Codec<String> for RawBytes {
    fn version(&self) -> u8 {
        0
    }

    fn form(&self) -> u8 {
        FORM
    }

    fn encode(&self, value: &String) -> Result<Vec<u8>, CodecError> {
        Ok(value.as_bytes().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        str::from_utf8(bytes).map(str::to_owned).map_err(CodecError::failed)
    }

    fn limit(&self) -> usize {
        self.limit
    }
}
