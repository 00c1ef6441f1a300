//! A worker as announced to others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::WorkerId;
use crate::timestamp::Timestamp;

/// A worker, as announced to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its id, new with each start.
    pub id: WorkerId,
    /// Its process id.
    pub pid: u32,
    /// The queues it serves.
    pub queues: Vec<String>,
    /// Number of jobs it was running at `last_seen`.
    pub running: usize,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last announced itself, by the broker's clock.
    pub last_seen: Timestamp,
    /// Its lease in milliseconds; 30,000 if the worker's release does not announce it.
    #[serde(default = "default_lease_ms")]
    pub lease_ms: u64,
}

fn default_lease_ms() -> u64 {
    30_000
}

impl WorkerInfo {
    /// Describes a worker of this process.
    pub fn of_this_process(id: WorkerId, queues: Vec<String>, now: Timestamp) -> Self {
        let pid = std::process::id();
        Self { id, pid, queues, running: 0, started_at: now, last_seen: now, lease_ms: default_lease_ms() }
    }

    /// Sets the worker's lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Whether the worker counts as lost at `now`, a time of the broker's clock: it has not
    /// announced itself for two leases.
    ///
    /// A worker announces itself at least once per lease while it can reach the broker.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        now.since(self.last_seen) > Duration::from_millis(self.lease_ms.saturating_mul(2))
    }
}
