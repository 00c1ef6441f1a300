//! Values as bytes, for the tier that processes share.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest value in the shared tier unless a codec says otherwise: 1 MiB.
const LIMIT: usize = 1 << 20;

/// Turns values into bytes and back.
///
/// The bytes are read by other processes, perhaps of an older or newer build: raise [`version`](Self::version) whenever
/// the form changes, and bytes of another version are a miss instead of a wrong value.
pub trait Codec<V>: Send + Sync + 'static {
    /// The version of the form, written in front of every value.
    fn version(&self) -> u8;

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// When it can't be written; it then stays in L1 only.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// Reads what [`encode`](Self::encode) wrote in the same version. Must not panic, whatever the bytes are.
    ///
    /// # Errors
    ///
    /// When the bytes are no value; the read is then a miss, and reported.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;

    /// The most bytes that a value may have; larger ones are neither written nor read. 1 MiB by default.
    fn limit(&self) -> usize {
        LIMIT
    }
}

/// Why a value has no bytes, or bytes no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec's own reason.
    #[error("the codec failed: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// Above [`Codec::limit`].
    #[error("{length} bytes are more than the codec's limit of {limit}")]
    TooBig {
        /// Bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Written in another version of the form.
    #[error("written in version {found} of its form, this is version {expected}")]
    Version {
        /// Of the bytes.
        found: u8,
        /// Of the codec.
        expected: u8,
    },
    /// What lies around the value was not written by this cache.
    #[error("not an entry of this cache: wrong at byte {at}")]
    NotAnEntry {
        /// Index of the first byte that does not belong.
        at: usize,
    },
}

impl CodecError {
    /// Wraps the reason of a codec.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into())
    }
}

/// Values as JSON, through serde.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json {
    version: u8,
}

impl Json {
    /// JSON in version 0.
    pub const fn new() -> Self {
        Self { version: 0 }
    }

    /// JSON in this version of the value's shape: raise it whenever a field changes its meaning or can no longer be read.
    pub const fn version(version: u8) -> Self {
        Self { version }
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn version(&self) -> u8 {
        self.version
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(CodecError::failed)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::failed)
    }
}
