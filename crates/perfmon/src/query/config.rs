//! The limits of what is kept of statements.

use std::time::Duration;

/// The limits of [`Queries`](crate::Queries).
#[derive(Clone, Debug, PartialEq)]
pub struct QueryConfig {
    /// How many shapes are kept, at least one; 1,000. Each takes about 9 KiB.
    pub shapes: usize,
    /// A statement that took longer is slow; 1 s.
    pub slow: Duration,
    /// How many slow statements are listed; 100.
    pub slow_entries: usize,
    /// The share of slow calls of a shape that its reading should not exceed; 0.05. Above it, its
    /// 95th percentile is above [`slow`](Self::slow).
    pub slow_share: f64,
    /// More calls alike than this in one request are repeated ones; 5.
    pub alike: u32,
    /// The number of requests of a route from which repeated calls are reported; 3. One request
    /// alone is no issue.
    pub requests: u64,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { shapes: 1_000, slow: Duration::from_secs(1), slow_entries: 100, slow_share: 0.05, alike: 5, requests: 3 }
    }
}
