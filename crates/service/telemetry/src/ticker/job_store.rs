//! The last answer of the job store.

use std::time::Duration;

/// The last answer of the job store.
#[derive(Debug, Clone)]
pub(crate) struct JobStoreAnswer {
    /// Time on the registry's clock.
    pub(super) at: Duration,
    /// Queues without a live worker. `None` if there was no answer.
    pub(super) unserved: Option<Vec<&'static str>>,
}
