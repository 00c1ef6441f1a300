//! The concurrency of a queue, which can be changed while it is served.

use std::sync::Arc;

use tokio::sync::watch;

/// How many jobs of a queue a worker runs concurrently. Clones share the number.
///
/// Pass it to [`QueueOptions::adjustable`](super::QueueOptions::adjustable), and set it while the
/// worker runs. If it is raised, more jobs start at once. If it is lowered, running jobs above it
/// continue to their end, and no jobs start in their place.
#[derive(Clone, Debug)]
pub struct Concurrency(Arc<watch::Sender<usize>>);

impl Concurrency {
    /// Creates it with an initial number. Zero counts as one.
    #[must_use]
    pub fn new(jobs: usize) -> Self {
        Self(Arc::new(watch::Sender::new(jobs.max(1))))
    }

    /// Current number.
    #[must_use]
    pub fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// Sets the number. Zero counts as one.
    pub fn set(&self, jobs: usize) {
        self.0.send_replace(jobs.max(1));
    }

    /// Receives every later change.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}
