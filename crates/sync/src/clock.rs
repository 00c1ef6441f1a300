//! Durations in the unit of the stores.

use std::time::Duration;

/// Whole microseconds, limited to a hundred years, so that sums are below 2^53.
pub(crate) fn micros(duration: Duration) -> u64 {
    const CENTURY: u64 = 100 * 366 * 24 * 3600 * 1_000_000;
    u64::try_from(duration.as_micros()).map_or(CENTURY, |us| us.min(CENTURY))
}
