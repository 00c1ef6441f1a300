//! Permits for requests: a fixed number per process.

use std::num::NonZeroU32;
use std::sync::Arc;

use tidegate_ratelimit::{Concurrency, ConcurrencyLimiter, Permit};
use tidegate_telemetry::Telemetry;

/// All requests are of one kind.
const ALL: &str = "http";

/// The permits of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestPermits(Arc<ConcurrencyLimiter>);

impl RequestPermits {
    /// Creates `most` permits. The telemetry reads how many requests got none.
    pub fn new(most: NonZeroU32, telemetry: &Telemetry) -> Self {
        let permits = Self::of(most);
        let counted = Arc::clone(&permits.0);
        telemetry.watch_shedding(move || counted.stats().refused);
        permits
    }

    /// A fixed number. The duration of requests cannot determine it: durations differ by a factor
    /// of a thousand, and another mix of requests would look like a queue.
    pub(super) fn of(most: NonZeroU32) -> Self {
        Self(Arc::new(ConcurrencyLimiter::builder(ALL, Concurrency::Fixed(most)).build()))
    }

    pub(super) fn take(&self) -> Option<Permit> {
        self.0.try_acquire(ALL).ok()
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u64 {
        self.0.stats().in_flight
    }
}
