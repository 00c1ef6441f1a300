//! Values as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError, LIMIT, terse};

/// Values as JSON, through serde.
#[derive(Debug, Clone, Copy)]
pub struct Json {
    version: u8,
    limit: usize,
}

impl Json {
    /// JSON in version 0, of at most 1 MiB.
    pub const fn new() -> Self {
        Self::version(0)
    }

    /// JSON in this version of the value's shape. Raise the version whenever a field changes its
    /// meaning or can no longer be read.
    pub const fn version(version: u8) -> Self {
        Self { version, limit: LIMIT }
    }

    /// Sets another limit, in bytes.
    #[must_use]
    pub const fn at_most(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn version(&self) -> u8 {
        self.version
    }

    fn form(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| terse::json(&error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| terse::json(&error))
    }

    fn limit(&self) -> usize {
        self.limit
    }
}
