//! Metrics of the queues: runs in this process, and rates over all processes.

mod asked;
mod figures;
mod limits;
mod rates;
mod runs;
mod samples;
mod stopwatch;
mod stream;

pub use rates::Rates;
pub use runs::{JobWatch, Latency, Percentiles};

pub(super) use asked::register;
pub(super) use rates::RateWatch;
pub(super) use runs::RunTotals;
pub(super) use stream::run as send_events;
