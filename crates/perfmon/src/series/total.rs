//! What a series has counted since the start.

use crate::figure::totals::Totals;
use crate::histogram::layout::EXPOSED;
use crate::histogram::stripe::TALLIES;

/// Everything since the start, in the few numbers that are shown of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    /// Samples up to each of the exposed bounds and above the one before; those above the last.
    pub(super) ranges: [u64; EXPOSED + 1],
    pub(super) sum_nanos: u128,
    pub(crate) tallies: [u64; TALLIES],
}

impl Total {
    pub(super) fn count(&mut self, ranges: &[u32; EXPOSED + 1], sum_nanos: u64, tallies: &[u64; TALLIES]) {
        for (total, &more) in self.ranges.iter_mut().zip(ranges) {
            *total += u64::from(more);
        }
        self.sum_nanos += u128::from(sum_nanos);
        for (total, more) in self.tallies.iter_mut().zip(tallies) {
            *total += more;
        }
    }

    /// Samples between the exposed bounds, those above the last one behind them.
    #[cfg(feature = "prometheus")]
    pub(crate) fn ranges(&self) -> &[u64; EXPOSED + 1] {
        &self.ranges
    }

    /// The sum of all samples.
    #[cfg(feature = "prometheus")]
    pub(crate) fn sum_nanos(&self) -> u128 {
        self.sum_nanos
    }

    pub(crate) fn latency(&self) -> Totals {
        Totals::of(&self.ranges, self.sum_nanos)
    }
}
