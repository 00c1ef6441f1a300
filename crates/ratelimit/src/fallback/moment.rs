//! The amount that a process may admit while Redis is only slow for a moment.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{LiveProcesses, Timestamp};

/// The first window without a reply from Redis.
///
/// Redis may be available and reply to other processes. The remaining amount of a key is therefore
/// divided among all live processes, even if the policy would let each of them admit all of it.
pub(super) struct Moment {
    live: LiveProcesses,
    /// The time of the first decision without Redis after its last reply, in microseconds. Zero if
    /// there was none.
    since: AtomicU64,
}

impl Moment {
    pub(super) fn new(live: LiveProcesses) -> Self {
        Self { live, since: AtomicU64::new(0) }
    }

    /// Ends the moment, because Redis has replied.
    pub(super) fn answered(&self) {
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// Begins the moment, unless it has begun with an earlier decision.
    pub(super) fn begin(&self, now: Timestamp) {
        let now = now.as_micros().max(1);
        let _ = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The number of processes among which a key's remaining amount is divided, at least `parts`.
    pub(super) fn sharers(&self, parts: NonZeroU32, now: Timestamp, window: Duration) -> NonZeroU32 {
        let since = match self.since.load(Ordering::Relaxed) {
            0 => now,
            micros => Timestamp::from_micros(micros),
        };
        if now.saturating_since(since) < window { parts.max(self.live.count()) } else { parts }
    }
}
