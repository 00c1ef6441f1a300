//! The number of processes that share the limits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of live processes that share limits, according to this process; at least one.
///
/// `SharedQuotas` counts them. Clones share the number.
#[derive(Clone, Debug)]
pub struct LiveProcesses(Arc<AtomicU32>);

impl Default for LiveProcesses {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl LiveProcesses {
    /// The number.
    pub fn count(&self) -> NonZeroU32 {
        NonZeroU32::new(self.0.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// Sets the number, for applications that get it from another source, such as an orchestrator.
    pub fn set(&self, count: NonZeroU32) {
        self.0.store(count.get(), Ordering::Relaxed);
    }
}
