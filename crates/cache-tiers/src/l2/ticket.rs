//! The right to fill: a fence that this process takes part in, and the epoch when its load began.

use std::future::Future;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_redis::Error;
use tokio::runtime::Handle;

use super::epoch::Epoch;
use super::new::{Failure, Filled, New};
use super::patience::Patience;
use super::shared::L2;
use crate::key::Key;

/// A fence that a load takes part in.
pub(super) struct Fenced {
    pub(super) key: Key,
    pub(super) fence: String,
    /// Head of the value that L2 held all the same.
    pub(super) past: Option<Bytes>,
}

/// If it is dropped while its fence may be in force (the load failed, panicked, was stopped or
/// refused), it gives the fence back, so that no caller waits for it.
pub struct Ticket {
    l2: Arc<L2>,
    key: Key,
    fence: String,
    epoch: Epoch,
    /// Head of the value that L2 held all the same, past its lifetime or unsuitable.
    past: Option<Bytes>,
}

impl Ticket {
    pub(super) fn new(l2: &Arc<L2>, key: &Key, fence: String, epoch: Epoch, past: Option<Bytes>) -> Self {
        Self { l2: Arc::clone(l2), key: key.clone(), fence, epoch, past }
    }

    /// Whether L2 held a value when it gave the fence.
    pub(super) fn replaces(&self) -> bool {
        self.past.is_some()
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Runs the load, and renews its fence until it ends, because other processes wait as long.
    pub async fn renewed_during<T>(&self, load: impl Future<Output = T>) -> T {
        self.l2.renewing(&[(&self.key, &self.fence)], load).await
    }

    /// Fills under the fence, which ends with it. If that fails, the fence is given back.
    pub(super) async fn fill(mut self, new: New) -> Result<Filled, Failure> {
        let filled = self.l2.tier.fill(&self.key, &self.fence, &self.epoch, new).await;
        if matches!(filled, Ok(Filled::Stored(_))) {
            self.fence.clear();
        }
        filled
    }

    /// Deletes what L2 holds under the fence, which ends with it. Notifies all processes if there
    /// was a value, or always if the flag is set. A value that changed meanwhile stays.
    pub(super) async fn clear(mut self, always_tells: bool, patience: &mut Patience) -> bool {
        let fenced = Fenced { key: self.key.clone(), fence: self.fence.clone(), past: self.past.clone() };
        let told = self.l2.tier.forget_under(&[(fenced, always_tells)], patience).await;
        told.failures.iter().for_each(|error| self.l2.failed("clear", error));
        let is_told = told.answers.iter().all(Option::is_some);
        if is_told {
            self.fence.clear();
        }
        is_told
    }

    /// Gives the fence back. Returns whether it was still in force.
    pub(super) async fn give_up(mut self) -> Result<bool, Error> {
        let released = self.l2.tier.release(&self.key, &self.fence).await?;
        self.fence.clear();
        Ok(released)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.fence.is_empty() {
            return;
        }
        // Without a runtime the fence expires by itself, and waiting callers give up sooner.
        if let Ok(runtime) = Handle::try_current() {
            let (l2, key, fence) = (Arc::clone(&self.l2), self.key.clone(), mem::take(&mut self.fence));
            runtime.spawn(async move {
                if let Err(error) = l2.tier.release(&key, &fence).await {
                    l2.failed("release", &error);
                }
            });
        }
    }
}
