//! The right to fill: a fence that this process takes part in, and the epoch at the start of its load.

use std::mem;
use std::sync::Arc;

use tidegate_redis::Error;
use tokio::runtime::Handle;

use super::L2;
use super::epoch::Epoch;
use super::tier::{Failure, Filled, New};
use crate::key::Key;

/// Dropped unused, by a load that failed, panicked or was stopped, it gives the fence back, so that nobody waits for it.
pub(crate) struct Ticket {
    l2: Arc<L2>,
    key: Key,
    fence: String,
    epoch: Epoch,
}

impl Ticket {
    pub(super) fn new(l2: &Arc<L2>, key: &Key, fence: String, epoch: Epoch) -> Self {
        Self { l2: Arc::clone(l2), key: key.clone(), fence, epoch }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Fills under the fence, which ends with it.
    pub(super) async fn fill(mut self, new: New) -> Result<Filled, Failure> {
        let fence = mem::take(&mut self.fence);
        self.l2.tier.fill(&self.key, &fence, &self.epoch, new).await
    }

    /// Gives the fence back; tells whether it was still in force.
    pub(super) async fn give_up(mut self) -> Result<bool, Error> {
        let fence = mem::take(&mut self.fence);
        self.l2.tier.release(&self.key, &fence).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.fence.is_empty() {
            return;
        }
        // Without a runtime the fence runs out by itself, and whoever waits for it gives up sooner.
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
