//! Sessions as bytes, for the tier that processes share.

use serde::Serialize;
use serde::de::DeserializeOwned;

use tidegate_cache_tiers::{Codec, CodecError, codec::terse};

/// Sessions as JSON, whichever other codecs this crate was built with.
pub(super) struct Written;

impl<V: Serialize + DeserializeOwned> Codec<V> for Written {
    fn version(&self) -> u8 {
        1
    }

    fn encode(&self, held: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(held).map_err(|error| terse::json(&error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| terse::json(&error))
    }
}
