//! A queue that a worker serves, and what its loop tells those who keep it in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::worker::QueueOptions;

/// A queue that a worker serves.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) queue: String,
    pub(crate) options: QueueOptions,
    pub(crate) state: LoopState,
}

/// What the loop of a queue is at. Cheap to clone. Says nothing about other memory: its orderings are relaxed.
#[derive(Clone, Default)]
pub(crate) struct LoopState(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_waiting: AtomicBool,
    ended: AtomicU64,
}

impl LoopState {
    /// Whether it waits for work, and so sees to what comes due by itself.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Jobs that it has settled.
    pub(crate) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn add_ended(&self, jobs: usize) {
        self.0.ended.fetch_add(jobs as u64, Ordering::Relaxed);
    }
}
