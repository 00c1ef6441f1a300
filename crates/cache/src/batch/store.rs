//! Writes of many keys.

use std::borrow::Borrow;
use std::collections::HashMap;

use futures_util::FutureExt;
use futures_util::future::join;

use crate::handle::TypedCache;
use tidegate_cache_tiers::{Fill, Key, fill::Keep, text::Prehashed};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Stores values, each like [`put`](Self::put). Returns for each, in order, whether L1 kept it.
    ///
    /// A key that comes twice gets its last value. The earlier value counts as not kept. L1 is
    /// complete when the call is first polled, without waiting. L2 is written in few round trips.
    /// The call is not atomic: other readers may see some of the values before the others. Keys
    /// that could not be sent to L2 count there as invalidated until they can.
    pub async fn put_many<K, F>(&self, values: impl IntoIterator<Item = (K, F)>) -> Vec<bool>
    where
        K: Borrow<Key>,
        F: Into<Fill<V>>,
    {
        let values: Vec<(Key, Fill<V>)> =
            values.into_iter().map(|(key, fill)| (key.borrow().clone(), fill.into())).collect();
        let last: HashMap<Key, usize, Prehashed> =
            values.iter().enumerate().map(|(index, (key, _))| (key.clone(), index)).collect();
        let (mut kept, mut uncached) = (Vec::with_capacity(values.len()), Vec::new());
        let mut puts = Vec::with_capacity(last.len());
        for (index, (key, mut fill)) in values.into_iter().enumerate() {
            if last[&key] != index {
                kept.push(false);
                continue;
            }
            self.cache.tiers.settle(&self.class, &mut fill);
            if fill.keep != Keep::Value {
                kept.push(false);
                uncached.push(key);
                continue;
            }
            let (stored, new) = self.set_here(&key, fill);
            kept.push(stored);
            puts.push((key, new));
        }
        let put = async {
            if let (Some(l2), Some(_)) = (&self.cache.tiers.l2, &self.form.codec) {
                l2.put_many(puts).boxed().await;
            }
        };
        let clear = async {
            if !uncached.is_empty() {
                // If L2 cannot be notified of it, the invalidation is owed.
                let _ = self.cache.remove_many(&uncached).await;
            }
        };
        // Concurrent, so that L1 is done with both when this is first polled.
        join(clear, put).await;
        kept
    }
}
