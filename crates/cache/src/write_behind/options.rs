//! Settings of a write-behind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache_tiers::Observer;

/// Maximum number of writes in one batch: about one millisecond of a Redis script.
const LARGEST_BATCH: usize = 1_000;

/// Maximum number of pending bytes.
const MOST_BYTES: usize = 64 << 20;

/// Limits of pending writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}

/// Settings of a [`WriteBehind`](crate::WriteBehind) or of [`Increments`](crate::Increments).
/// Defaults: a flush every 5 s or as soon as 100 writes are pending, at most 10,000 pending writes
/// and 64 MiB, pauses of 100 ms to 30 s between failures, 30 s for the sink.
#[derive(Clone)]
#[must_use]
pub struct WriteBehindOptions {
    pub(super) name: String,
    pub(super) every: Duration,
    pub(super) count: usize,
    pub(super) room: Room,
    pub(super) pauses: (Duration, Duration),
    pub(super) sink_timeout: Duration,
    pub(super) lease: Duration,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl WriteBehindOptions {
    /// Creates the defaults under a name. On Redis, all processes share the pending writes of one
    /// name. So give each use a name of its own, the same one in all processes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            every: Duration::from_secs(5),
            count: 100,
            room: Room { keys: 10_000, bytes: MOST_BYTES },
            pauses: (Duration::from_millis(100), Duration::from_secs(30)),
            sink_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(10),
            observer: None,
        }
    }

    /// Sets the maximum time that a write is pending while the sink works; 10 ms or more.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets how many pending keys cause a flush at once, also the maximum of a batch; 1 to 1,000.
    pub fn count(mut self, writes: usize) -> Self {
        self.count = writes.clamp(1, LARGEST_BATCH);
        self
    }

    /// Sets the maximum number of pending keys, at least 1. The next key is refused as
    /// [`Full`](crate::WriteBehindError::Full). Another write to a pending key does not count.
    pub fn limit(mut self, keys: usize) -> Self {
        self.room.keys = keys.max(1);
        self
    }

    /// Sets the maximum number of bytes of the pending values, 64 MiB by default. A write beyond it
    /// is refused as [`TooManyBytes`](crate::WriteBehindError::TooManyBytes), unless it makes the
    /// pending value of its key shorter. On Redis the size is that of the codec, in memory that of
    /// [`TypedCache::weigh`](crate::TypedCache::weigh). Increments are bounded by their keys.
    pub fn limit_bytes(mut self, bytes: usize) -> Self {
        self.room.bytes = bytes;
        self
    }

    /// Sets the pause after a failure of the sink, doubled with each further one up to `longest`.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        self.pauses = (first, longest.max(first));
        self
    }

    /// Sets how long one call of the sink may take before it is dropped and counts as failed.
    pub fn sink_timeout(mut self, timeout: Duration) -> Self {
        self.sink_timeout = timeout;
        self
    }

    /// On Redis: sets how long the other nodes wait for a node that flushes, 10 s by default, at
    /// least 100 ms. After this time they take over from a node that was killed during a flush. It
    /// only saves work: two nodes that flush at once do no harm.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// Sets the observer of [`Event::Flushed`](crate::Event::Flushed) and
    /// [`Event::FlushFailed`](crate::Event::FlushFailed).
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Returns the pause after this number of failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let (first, longest) = self.pauses;
        first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
    }
}

impl fmt::Debug for WriteBehindOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehindOptions")
            .field("name", &self.name)
            .field("every", &self.every)
            .field("count", &self.count)
            .field("limit", &self.room.keys)
            .field("limit_bytes", &self.room.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let options = WriteBehindOptions::new("x").pauses(Duration::from_millis(100), Duration::from_secs(1));
        let pauses = [1, 2, 3, 4, 5, u32::MAX].map(|failures| options.pause(failures).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
    }
}
