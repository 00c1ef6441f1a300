//! A queue that a worker serves, and the state that its loop shares with the maintenance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::options::QueueOptions;

/// A queue that a worker serves.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) queue: String,
    pub(crate) options: QueueOptions,
    pub(crate) state: LoopState,
}

/// State of the loop of a queue. Cheap to clone. Orderings are relaxed: the values synchronize no
/// other memory.
#[derive(Clone, Default)]
pub(crate) struct LoopState(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_waiting: AtomicBool,
    ended: AtomicU64,
}

impl LoopState {
    /// Whether the loop waits for work. It then promotes due jobs itself.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Number of jobs that the loop has settled.
    pub(crate) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn add_ended(&self, jobs: usize) {
        self.0.ended.fetch_add(jobs as u64, Ordering::Relaxed);
    }
}
