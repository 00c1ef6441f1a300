//! How figures are shown: in milliseconds, as latencies of a window, as totals, with their trace.

pub(crate) mod latency;
pub(crate) mod millis;
pub(crate) mod totals;
pub(crate) mod trace_id;
