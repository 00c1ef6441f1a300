//! What a series holds for a window.

use std::sync::Arc;
use std::time::Duration;

use crate::histogram::layout::Layout;
use crate::histogram::snapshot::Snapshot;
use crate::histogram::stripe::TALLIES;
use crate::outcome::status::StatusClass;

/// Latencies and tallies of the same time.
#[derive(Debug)]
pub(crate) struct Interval {
    pub(crate) latency: Snapshot,
    pub(crate) tallies: [u64; TALLIES],
    /// The time that the figures stand for.
    pub(crate) covered: Duration,
}

impl Interval {
    pub(crate) fn empty(layout: Arc<Layout>) -> Self {
        Self { latency: Snapshot::empty(layout), tallies: [0; TALLIES], covered: Duration::ZERO }
    }

    /// Responses, without refused ones.
    pub(crate) fn responses(&self) -> u64 {
        self.tallies[..=StatusClass::ServerError as usize].iter().sum()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.tallies[StatusClass::ServerError as usize]
    }
}
