//! Functions of a handle for its type of values.

use std::sync::Arc;

use crate::codec::Codec;
use crate::fill::Fill;
use crate::parcel::Parcel;
use crate::slot::Slot;

/// The handle's functions for its values.
pub struct Form<V> {
    pub weigh: fn(&V) -> usize,
    /// Without a codec, values stay in L1.
    pub codec: Option<Arc<dyn Codec<V>>>,
}

impl<V> Clone for Form<V> {
    fn clone(&self) -> Self {
        Self { weigh: self.weigh, codec: self.codec.clone() }
    }
}

impl<V> Default for Form<V> {
    fn default() -> Self {
        Self { weigh: |_| size_of::<V>(), codec: None }
    }
}

/// The value of a slot, if it is of this type.
pub fn open<V: Send + Sync + 'static>(slot: Slot) -> Option<Arc<V>> {
    slot.value.downcast().ok()
}

pub fn pack<V: Send + Sync + 'static>(fill: Fill<V>, weigh: fn(&V) -> usize) -> Parcel {
    let bytes = weigh(&fill.value);
    let Fill { value, tags, ttl, is_negative, keep, grace } = fill;
    Parcel { value: value.into_arc(), tags, ttl, is_negative, keep, grace, bytes, cost: None }
}
