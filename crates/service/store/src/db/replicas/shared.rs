//! What the reads from the replicas of a server share with the watch on them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant;

use super::recent::Recent;
use super::replica::{Common, Replica};

/// The replicas of a server, and what was changed lately.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) all: Vec<Arc<Replica>>,
    pub(super) recent: Mutex<Recent>,
    /// Counter of the round robin.
    pub(super) turn: AtomicUsize,
    pub(super) common: Common,
    /// Signals that a caller needs the positions of the replicas.
    pub(super) wanted: Arc<Notify>,
    /// Signals each time that the positions were read.
    pub(super) asked: channel::Sender<()>,
}

impl Shared {
    /// Returns the next usable replica in the round robin that has everything that was committed
    /// before a moment which `will_do` accepts.
    pub(super) fn next(&self, will_do: impl Fn(Instant) -> bool) -> Option<Arc<Replica>> {
        let now = Instant::now();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let turns = (0..self.all.len()).map(|step| &self.all[first.wrapping_add(step) % self.all.len()]);
        turns.into_iter().find(|replica| replica.health.has_all_before(now).is_some_and(&will_do)).cloned()
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Wakes the watch, which then sees that this is gone.
        self.wanted.notify_one();
    }
}
