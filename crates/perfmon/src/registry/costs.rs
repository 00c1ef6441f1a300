//! Where a registry records what it costs itself.

use crate::histogram::Histogram;

/// Times of ticks, and of those records that are timed.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    pub(crate) tick: Histogram,
    pub(crate) record: Histogram,
}
