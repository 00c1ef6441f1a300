//! The difference between two readings of a series.

use std::time::Duration;

use crate::histogram::layout::EXPOSED;
use crate::histogram::stripe::TALLIES;

/// The counts between one reading and the next.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// `(bucket, count)` of the buckets that changed, ascending.
    pub(crate) buckets: Vec<(u32, u32)>,
    /// Samples between the exposed bounds, those above the last one behind them.
    pub(crate) ranges: [u32; EXPOSED + 1],
    pub(crate) sum_nanos: u64,
    pub(crate) tallies: [u64; TALLIES],
    pub(crate) span: Duration,
}

impl Delta {
    /// Nothing counted; keeps its room.
    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        self.ranges = [0; EXPOSED + 1];
        self.sum_nanos = 0;
        self.tallies = [0; TALLIES];
        self.span = Duration::ZERO;
    }
}

/// Room to work in, which all series of a tick or of a scrape share.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) live: Vec<u32>,
    pub(crate) delta: Delta,
}
