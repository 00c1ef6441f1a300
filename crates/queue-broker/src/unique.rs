//! Unique keys: one job at a time per key.

use std::time::Duration;

/// A unique key: one job at a time holds it, within its queue. A key has 1 to 256 bytes and no
/// control characters.
///
/// In a queue with several partitions, a job with an ordering key is in the partition of that key.
/// Its unique key is then unique only among the jobs of the same ordering key.
///
/// By default, a job holds the key until it has ended, and another job with that key is refused.
///
/// ```
/// use std::time::Duration;
/// # extern crate tidegate_queue_broker as tidegate_queue;
/// use tidegate_queue::{EnqueueOptions, Unique};
///
/// // One reindexing at a time.
/// let once = EnqueueOptions::new().unique(Unique::new("reindex"));
/// // One mail an hour to each address, whatever becomes of it.
/// let digest = Unique::new("digest:a@example.com").hold_for(Duration::from_secs(3600));
/// let hourly = EnqueueOptions::new().unique(digest);
/// // Runs when nothing was enqueued for 5 s, with what was enqueued last.
/// let search = Unique::new("search:42").debounce();
/// let settled = EnqueueOptions::new().delay(Duration::from_secs(5)).unique(search);
/// # drop((once, hourly, settled));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Unique {
    pub(crate) key: String,
    pub(crate) on_duplicate: OnDuplicate,
    /// How long the job holds the key after it was enqueued. `None` if it holds the key until it
    /// has ended.
    pub(crate) hold: Option<Duration>,
}

/// How the broker treats a job whose key is held by another job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    Reject,
    Replace,
    Debounce,
}

impl OnDuplicate {
    /// Lower-case name, as stores keep it.
    #[cfg(feature = "redis")]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Replace => "replace",
            Self::Debounce => "debounce",
        }
    }
}

impl Unique {
    /// A key that is held until the job is done, dead or cancelled. Another job with that key is
    /// refused.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Reject, hold: None }
    }

    /// A new job cancels a job of this key that has not started, and takes over its place in the
    /// queue and its due time. If the job of this key is running, the new job is enqueued as usual.
    pub fn replace(mut self) -> Self {
        self.on_duplicate = OnDuplicate::Replace;
        self
    }

    /// Like [`replace`](Self::replace), but the delay starts again. So with a delay, the last job
    /// runs when no other has been enqueued for that long.
    pub fn debounce(mut self) -> Self {
        self.on_duplicate = OnDuplicate::Debounce;
        self
    }

    /// Holds the key for exactly `time` after the enqueue, whether the job ends earlier or later.
    pub fn hold_for(mut self, time: Duration) -> Self {
        self.hold = Some(time);
        self
    }
}
