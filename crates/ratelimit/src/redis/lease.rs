//! Leases: what a hot key may use is charged in Redis ahead, and admitted here.

mod hot;
mod limiter;
mod script;

pub use limiter::{LeasedLimiter, LeasedLimiterBuilder};
