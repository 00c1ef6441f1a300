//! Counts and settings of a queue, read for all queues in one step.

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
