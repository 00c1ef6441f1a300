//! The right to fill several keys.

use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::epoch::Epoch;
use super::shared::L2;
use super::ticket::Fenced;
use crate::key::Key;
use crate::text::Prehashed;

/// The right to fill several keys: the fences of their loads, and the epoch at the start.
///
/// Unused fences are given back when it is dropped, so that no caller waits for them.
pub struct Tickets {
    l2: Arc<L2>,
    fences: HashMap<Key, String, Prehashed>,
    /// Heads of the values that L2 held all the same, past their lifetime or unsuitable.
    past: HashMap<Key, Bytes, Prehashed>,
    pub(super) epoch: Epoch,
}

impl Tickets {
    pub(super) fn new(l2: &Arc<L2>, fenced: Vec<Fenced>, epoch: Epoch) -> Self {
        let past = fenced.iter().filter_map(|fenced| Some((fenced.key.clone(), fenced.past.clone()?))).collect();
        let fences = fenced.into_iter().map(|fenced| (fenced.key, fenced.fence)).collect();
        Self { l2: Arc::clone(l2), fences, past, epoch }
    }

    /// Whether L2 held a value of the key when it gave the fence.
    pub(super) fn replaces(&self, key: &Key) -> bool {
        self.past.contains_key(key)
    }

    /// Returns the fence of a key. `None` if L2 could not be queried for it.
    pub(super) fn fence(&self, key: &Key) -> Option<String> {
        self.fences.get(key).cloned()
    }

    /// Like [`fence`](Self::fence), with the value that L2 held.
    pub(super) fn fenced(&self, key: &Key) -> Option<Fenced> {
        Some(Fenced { key: key.clone(), fence: self.fence(key)?, past: self.past.get(key).cloned() })
    }

    /// Runs the load, and renews its fences until it ends, because other processes wait as long.
    pub async fn renewed_during<T>(&self, load: impl Future<Output = T>) -> T {
        let fences: Vec<(&Key, &str)> = self.fences.iter().map(|(key, fence)| (key, fence.as_str())).collect();
        self.l2.renewing(&fences, load).await
    }

    /// Notes that its fence is no longer in force.
    pub(super) fn ended(&mut self, key: &Key) {
        self.fences.remove(key);
    }
}

impl Drop for Tickets {
    fn drop(&mut self) {
        if self.fences.is_empty() {
            return;
        }
        // Without a runtime the fences expire by themselves, and waiting callers give up sooner.
        if let Ok(runtime) = Handle::try_current() {
            let l2 = Arc::clone(&self.l2);
            let fences: Vec<_> = mem::take(&mut self.fences).into_iter().collect();
            runtime.spawn(async move {
                let mut patience = l2.patience_for(fences.len());
                let released = l2.tier.release_many(&fences, &mut patience).await;
                released.failures.iter().for_each(|error| l2.failed("release", error));
            });
        }
    }
}
