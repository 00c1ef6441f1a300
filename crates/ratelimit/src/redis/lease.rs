//! Leases: an amount for a hot key is charged in Redis in advance and admitted in this process.

mod hot;
mod limiter;
mod script;

pub use limiter::{LeasedLimiter, LeasedLimiterBuilder};
