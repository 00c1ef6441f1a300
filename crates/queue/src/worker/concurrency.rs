//! How many jobs of a queue run at once: a number that may change while they do.

use std::sync::Arc;

use tokio::sync::watch;

/// How many jobs of one queue a worker runs at once. Clones are one number.
///
/// Given to [`QueueOptions::adjustable`](super::QueueOptions::adjustable), it may be set while the worker runs: raised, further
/// jobs begin at once; lowered, those above it run to their end and none begin in their place.
#[derive(Clone, Debug)]
pub struct Concurrency(Arc<watch::Sender<usize>>);

impl Concurrency {
    /// So many to begin with; zero counts as one.
    #[must_use]
    pub fn new(jobs: usize) -> Self {
        Self(Arc::new(watch::Sender::new(jobs.max(1))))
    }

    /// So many at present.
    #[must_use]
    pub fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// From now on so many; zero counts as one.
    pub fn set(&self, jobs: usize) {
        self.0.send_replace(jobs.max(1));
    }

    /// Sees every change from here on.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}
