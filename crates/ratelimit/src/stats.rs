//! Counters of a limiter.

use serde::Serialize;

/// Maximum length of [`LimiterStats::top_denied`].
pub const TOP_DENIED: usize = 10;

/// Counters of one limiter. Each check is counted exactly once, as allowed, denied or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimiterStats {
    /// Checks that were admitted.
    pub allowed: u64,
    /// Checks that were refused, including those of blocked keys.
    pub denied: u64,
    /// Checks that returned a [`CheckError`](crate::CheckError).
    pub failed: u64,
    /// Checks that this process decided alone, because the shared store did not answer in time. A
    /// subset of the checks above. While this counter rises, the limit applies to each process
    /// rather than to all processes together.
    pub alone: u64,
    /// Keys in memory, never above the cap. Idle keys are kept until their capacity is needed.
    pub tracked_keys: u64,
    /// Keys that are currently blocked.
    pub blocked_keys: u64,
    /// Keys that were evicted at the cap while they still had usage.
    pub evicted_live: u64,
    /// Keys with the most refusals since they were stored. Sorted by refusals in descending order,
    /// then by name. At most [`TOP_DENIED`] entries.
    pub top_denied: Vec<(String, u64)>,
}

impl LimiterStats {
    /// Inserts the key if it is among those with the most refusals.
    pub(crate) fn rank_denied(&mut self, key: &str, denied: u64) {
        let place = self.top_denied.partition_point(|(name, count)| (*count, key) > (denied, name.as_str()));
        if denied > 0 && place < TOP_DENIED {
            self.top_denied.insert(place, (key.to_owned(), denied));
            self.top_denied.truncate(TOP_DENIED);
        }
    }
}
