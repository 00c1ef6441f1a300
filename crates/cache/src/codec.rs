//! Values as bytes, for the tier that processes share.

#[cfg(feature = "zstd")]
mod compressed;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "messagepack")]
mod message_pack;
mod raw;
#[cfg(any(feature = "json", feature = "messagepack", feature = "sessions"))]
pub(crate) mod terse;
pub(crate) mod versioned;

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

/// The form and the version of bytes, as they stand in front of every value.
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
/// The bytes are read by other processes, perhaps of an older or newer build: raise [`version`](Self::version) whenever
/// the form changes, and bytes of another version are a miss instead of a wrong value.
pub trait Codec<V>: Send + Sync + 'static {
    /// The version of the form, written in front of every value.
    fn version(&self) -> u8;

    /// Which codec it is, as far as several may follow one another at one key: the bytes of another are a miss.
    ///
    /// 0, the default, is for codecs of your own; below 16 and from 128 on are those of this crate.
    fn form(&self) -> u8 {
        0
    }

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// When it can't be written; what a load brought then stays in L1 only, and what was
    /// [`set`](crate::TypedCache::set) is not kept at all.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// As [`encode`](Self::encode), for codecs whose values are bytes that can be shared instead of copied.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    fn encode_shared(&self, value: &V) -> Result<Bytes, CodecError> {
        self.encode(value).map(Bytes::from)
    }

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
    /// The codec's own reason. That of this crate's codecs says what is wrong and where, and nothing of the value.
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
    /// Written by another codec.
    #[error("written in form {found}, this codec reads form {expected}")]
    Form {
        /// Of the bytes.
        found: u8,
        /// Of the codec.
        expected: u8,
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
    /// Wraps the reason of a codec. It goes to events, and from there to logs: it must not quote the value.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into())
    }
}
