//! What others see of a worker.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::WorkerId;

/// A live worker, as announced to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its identity, new with each start.
    pub id: WorkerId,
    /// Its process.
    pub pid: u32,
    /// The queues it serves.
    pub queues: Vec<String>,
    /// Jobs it was running when last seen.
    pub running: usize,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last announced itself, by the broker's clock.
    pub last_seen: Timestamp,
}

impl WorkerInfo {
    /// Describes a worker of this process.
    pub fn of_this_process(id: WorkerId, queues: Vec<String>, now: Timestamp) -> Self {
        let pid = std::process::id();
        Self { id, pid, queues, running: 0, started_at: now, last_seen: now }
    }
}
