//! One second, minute or hour of a chart.

use std::time::Duration;

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::Layout;
use crate::histogram::stripe::TALLIES;
use crate::outcome::status::StatusClass;

/// The figures of one second, minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Slot {
    /// Responses.
    pub count: u64,
    /// Responses with a 5xx status, failed handlers included.
    pub errors: u64,
    /// Responses by latency: up to each of [`BOUNDS`](Self::BOUNDS) and above the one before, and
    /// last those that took longer than the last bound.
    pub buckets: [u64; Self::BUCKETS],
    /// The time that the figures stand for; zero of a slot in which nothing was filed.
    pub covered: Duration,
}

impl Slot {
    /// The number of latency ranges.
    pub const BUCKETS: usize = 12;

    /// The upper ends of all ranges but the last, which has none: 1 ms to 2.5 s.
    pub const BOUNDS: [Duration; Self::BUCKETS - 1] = {
        let mut bounds = [Duration::ZERO; Self::BUCKETS - 1];
        let mut at = 0;
        while at < bounds.len() {
            bounds[at] = EXPOSITION_BOUNDS[at];
            at += 1;
        }
        bounds
    };

    pub(crate) fn add_bucket(&mut self, layout: &Layout, bucket: usize, count: u64) {
        self.buckets[layout.exposed_range(bucket).min(Self::BUCKETS - 1)] += count;
    }

    /// `covered` is the longest time that any series of the slot covers, since all are filed at the
    /// same ticks.
    pub(crate) fn add_tallies(&mut self, tallies: &[u64; TALLIES], covered: Duration) {
        self.count += tallies[..=StatusClass::ServerError as usize].iter().sum::<u64>();
        self.errors += tallies[StatusClass::ServerError as usize];
        self.covered = self.covered.max(covered);
    }
}
