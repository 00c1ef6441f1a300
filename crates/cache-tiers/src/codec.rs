//! Values as bytes, for the tier that processes share.

#[cfg(feature = "zstd")]
mod compressed;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "messagepack")]
mod message_pack;
mod raw;
#[cfg(any(feature = "json", feature = "messagepack", feature = "sessions"))]
pub mod terse;
pub mod versioned;

use std::error::Error;

use bytes::Bytes;

#[cfg(feature = "zstd")]
pub use compressed::Compressed;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "messagepack")]
pub use message_pack::MessagePack;
pub use raw::RawBytes;

/// Largest value in the shared tier unless a codec says otherwise: 1 MiB.
pub(crate) const LIMIT: usize = 1 << 20;

/// Form and version of bytes, which precede every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) form: u8,
    pub(crate) version: u8,
}

impl Format {
    pub(crate) fn of<V: 'static>(codec: &dyn Codec<V>) -> Self {
        Self { form: codec.form(), version: codec.version() }
    }
}

/// Turns values into bytes and back.
///
/// Other processes read the bytes, perhaps of an older or newer build. Raise
/// [`version`](Self::version) when the form changes: bytes of another version are a miss.
pub trait Codec<V>: Send + Sync + 'static {
    /// Returns the version of the form, written before every value.
    fn version(&self) -> u8;

    /// Returns the id of the codec, if several may share a key: bytes of another codec are a miss.
    ///
    /// 0, the default, is for your own codecs. This crate uses values below 16 and from 128 on.
    fn form(&self) -> u8 {
        0
    }

    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded. A loaded value then stays in L1 only, and a value that was
    /// `put` is not kept at all.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// Like [`encode`](Self::encode), for values that are bytes and can be shared, not copied.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Self::encode).
    fn encode_shared(&self, value: &V) -> Result<Bytes, CodecError> {
        self.encode(value).map(Bytes::from)
    }

    /// Decodes the bytes that [`encode`](Self::encode) wrote in the same version. Must not panic
    /// for any bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not a value. The read is then a miss, and is reported.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;

    /// Returns the maximum size of a value in bytes, 1 MiB by default. Larger values are neither
    /// written nor read.
    fn limit(&self) -> usize {
        LIMIT
    }
}

/// Why a value has no bytes, or bytes no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec's own reason. Codecs of this crate state fault and position, but no value.
    #[error("the codec failed: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// The value exceeds [`Codec::limit`].
    #[error("{length} bytes are more than the codec's limit of {limit}")]
    TooBig {
        /// Length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Another codec wrote the bytes.
    #[error("written in form {found}, this codec reads form {expected}")]
    Form {
        /// Version of the bytes.
        found: u8,
        /// Version of the codec.
        expected: u8,
    },
    /// Another version of the codec wrote the bytes.
    #[error("written in version {found} of its form, this is version {expected}")]
    Version {
        /// Form of the bytes.
        found: u8,
        /// Form of the codec.
        expected: u8,
    },
    /// This cache did not write the bytes around the value.
    #[error("not an entry of this cache: wrong at byte {at}")]
    NotAnEntry {
        /// Index of the first byte that is wrong.
        at: usize,
    },
}

impl CodecError {
    /// Wraps the reason of a codec. Events pass it on to logs, so it must not quote the value.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into())
    }
}
