//! How figures are shown: in milliseconds, as latencies of a window, as totals.

pub(crate) mod latency;
pub(crate) mod millis;
pub(crate) mod totals;
