//! One job at a time for a key.

use std::time::Duration;

/// Allows one job at a time with a key, within its queue. A key has 1 to 256 bytes of anything but control characters.
///
/// Of a queue with partitions, a job with an ordering key lies by that one: then the key is unique among the jobs of one
/// ordering key, and not beyond.
///
/// Unless told otherwise the key is held until the job has ended, and a further job is refused.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{EnqueueOptions, Unique};
///
/// // One reindexing at a time.
/// let once = EnqueueOptions::new().unique(Unique::new("reindex"));
/// // One mail an hour to each address, whatever becomes of it.
/// let hourly = EnqueueOptions::new().unique(Unique::new("digest:a@example.com").hold_for(Duration::from_secs(3600)));
/// // Runs when nothing was enqueued for 5 s, with what was enqueued last.
/// let settled = EnqueueOptions::new().delay(Duration::from_secs(5)).unique(Unique::new("search:42").debounce());
/// # drop((once, hourly, settled));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Unique {
    pub(crate) key: String,
    pub(crate) on_duplicate: OnDuplicate,
    /// How long the key is held, from the enqueue on; `None`: until the job has ended.
    pub(crate) hold: Option<Duration>,
}

/// What becomes of a job whose key is held.
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
    /// Held until the job is done, dead or cancelled; a further job is refused.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), on_duplicate: OnDuplicate::Reject, hold: None }
    }

    /// A further job takes the place and the due time of one that has not started, which is cancelled. Beside one that runs
    /// it is enqueued as usual.
    pub fn replace(mut self) -> Self {
        self.on_duplicate = OnDuplicate::Replace;
        self
    }

    /// As [`replace`](Self::replace), but the wait begins anew: with a delay, the last job runs when none came for so long.
    pub fn debounce(mut self) -> Self {
        self.on_duplicate = OnDuplicate::Debounce;
        self
    }

    /// Holds the key for exactly so long from the enqueue, however soon or late the job ends.
    pub fn hold_for(mut self, time: Duration) -> Self {
        self.hold = Some(time);
        self
    }
}
