//! What measuring costs itself.

use std::time::Duration;

use crate::histogram::snapshot::Snapshot;
use crate::registry::Registry;
use crate::series::Series;

/// One record in this many is timed.
const SAMPLED: u32 = 1024;

/// The cost of a registry since its start, by its own clock.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Overhead {
    /// How long ticks took.
    pub tick: Snapshot,
    /// How long recording a request took, measured for about one in 1,024 requests, with a clock
    /// read.
    pub record: Snapshot,
    /// The memory of all endpoints, operations and meters with their windows, and of the notes of
    /// running requests. It grows with the first requests of each, and hardly after the first hour.
    pub bytes: usize,
}

impl Registry {
    /// Returns the cost of measuring. Walks through all endpoints, operations and meters.
    pub fn overhead(&self) -> Overhead {
        let inner = self.inner();
        let endpoints: usize = inner.endpoints.all().iter().map(|endpoint| endpoint.bytes()).sum();
        let operations: usize = inner.operations.all().iter().map(|operation| operation.bytes()).sum();
        let meters: usize = inner.meters.all().iter().map(|meter| meter.bytes()).sum();
        let waits = [&inner.waits, &inner.body_waits, &inner.refusals].map(Series::bytes).iter().sum::<usize>();
        Overhead {
            tick: inner.costs.tick.snapshot(),
            record: inner.costs.record.snapshot(),
            bytes: endpoints + operations + meters + waits,
        }
    }

    /// Does the work of a record, and times it if the lot falls on it.
    pub(crate) fn sampling(&self, elapsed: Duration, record: impl FnOnce()) {
        // The last digits of what a request took are as good as a die, and at hand.
        if elapsed.subsec_nanos().is_multiple_of(SAMPLED) {
            let begun = self.now();
            record();
            self.inner().costs.record.record(self.now().saturating_sub(begun));
        } else {
            record();
        }
    }
}
