//! What a limiter counts.

use serde::Serialize;

/// How many keys [`LimiterStats::top_denied`] lists at most.
pub const TOP_DENIED: usize = 10;

/// Counters of one limiter. Each check is counted exactly once, as allowed, denied or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimiterStats {
    /// Checks that were admitted.
    pub allowed: u64,
    /// Checks that were refused, those of blocked keys included.
    pub denied: u64,
    /// Checks that ended in a [`CheckError`](crate::CheckError).
    pub failed: u64,
    /// Of the checks those that were decided by this process alone, since the store that it shares with others could not be asked in
    /// time. While it rises, the limit holds for each process more than for all together.
    pub alone: u64,
    /// Keys held in memory, never above the cap. Idle ones stay until their place is needed.
    pub tracked_keys: u64,
    /// Keys that are blocked now.
    pub blocked_keys: u64,
    /// Keys that were forgotten while they still had usage, because the cap was reached.
    pub evicted_live: u64,
    /// The keys refused most often since they are held, most refused first, then by name; at most
    /// [`TOP_DENIED`].
    pub top_denied: Vec<(String, u64)>,
}

impl LimiterStats {
    /// Takes a key into the list if it is among the most refused.
    pub(crate) fn rank_denied(&mut self, key: &str, denied: u64) {
        let place = self.top_denied.partition_point(|(name, count)| (*count, key) > (denied, name.as_str()));
        if denied > 0 && place < TOP_DENIED {
            self.top_denied.insert(place, (key.to_owned(), denied));
            self.top_denied.truncate(TOP_DENIED);
        }
    }
}
