//! Values read from replicas.
//!
//! The reader compares what an entry carries (epoch, class, tags) with the primary. So an
//! invalidation of these holds however far behind the replica is. An invalidation of a key or a
//! pattern, and a value that replaced it, are in the value itself. So keys that this process has
//! changed, or received a notice of, are read from the primary for the lag window. A replica is
//! read only while it is known to have everything that its primary had one window ago.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tidegate_redis::{Client, Replicas};
use tokio::time::Instant;

use super::lately::Lately;

/// Default time for which the primary is read after a change.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// Maximum lag of a replica that is used.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The replicas of a tier, and the keys that they may not have yet.
#[derive(Debug)]
pub(super) struct ReplicaReads {
    window: Duration,
    lately: Mutex<Lately>,
    /// Discovered as soon as changes are followed, which needs a runtime as well.
    replicas: OnceLock<Replicas>,
}

impl ReplicaReads {
    pub(super) fn new(window: Duration) -> Self {
        let window = window.clamp(Duration::from_millis(1), LONGEST);
        let lately = Mutex::new(Lately::new(window, Instant::now()));
        Self { window, lately, replicas: OnceLock::new() }
    }

    pub(super) fn start(&self, client: &Client) {
        self.replicas.get_or_init(|| Replicas::of(client, self.window));
    }

    /// Returns the known replicas, once they have been discovered.
    pub(super) fn found(&self) -> Option<&Replicas> {
        self.replicas.get().filter(|replicas| replicas.count() > 0)
    }

    pub(super) fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
