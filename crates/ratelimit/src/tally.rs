//! Counters of one process for a limiter whose states are stored elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::{Standing, Store};
use crate::{CheckError, LimiterStats};

/// Counters of decisions, and the keys with the most refusals.
pub(crate) struct Tally {
    allowed: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    alone: AtomicU64,
    refused: Store<u64>,
}

/// Maximum number of refused keys. Above it, those with the fewest refusals are removed.
const MAX_REFUSED: usize = 10_000;

impl Default for Tally {
    fn default() -> Self {
        let [allowed, denied, failed, alone] = [const { AtomicU64::new(0) }; 4];
        Self { allowed, denied, failed, alone, refused: Store::new(MAX_REFUSED) }
    }
}

impl Tally {
    pub(crate) fn count<T>(
        &self,
        key: &str,
        result: Result<T, CheckError>,
        allowed: impl FnOnce(&T) -> bool,
    ) -> Result<T, CheckError> {
        let counter = match &result {
            Ok(decided) if allowed(decided) => &self.allowed,
            Ok(_) => {
                let standing = |count: &u64| Standing::Live(0, *count);
                // Nothing is pinned, so there is capacity. A key that is too long has no decision.
                let _ = self.refused.lock(key).with(standing, || 0, |count| *count += 1);
                &self.denied
            }
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Counts a check that is decided without the shared store.
    pub(crate) fn decide_alone(&self) {
        self.alone.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters. The number of keys in memory is not known here.
    pub(crate) fn stats(&self) -> LimiterStats {
        LimiterStats {
            allowed: self.allowed.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            alone: self.alone.load(Ordering::Relaxed),
            top_denied: self.refused.stats(|count| (*count, false)).top_denied,
            ..LimiterStats::default()
        }
    }
}
