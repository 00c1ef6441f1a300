//! One queue as a whole, as it is read for all queues at once.

use super::{QueueCounts, QueueSettings};

/// Counts and settings of one queue; see [`Broker::overviews`](super::Broker::overviews).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOverview {
    /// Jobs by state and lifetime totals.
    pub counts: QueueCounts,
    /// Settings that hold for all workers of the queue.
    pub settings: QueueSettings,
}

impl QueueOverview {
    pub(crate) fn new(counts: QueueCounts, settings: QueueSettings) -> Self {
        Self { counts, settings }
    }
}
