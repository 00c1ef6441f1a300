//! Events, to connect the cache to metrics and logs.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::key::Key;
use crate::pattern::Pattern;
use crate::tag::Tag;

/// Receives the events of the cache, on the path of the reader, outside all locks: be quick.
///
/// A panic ends with the call: the cache continues as if the call had returned.
pub trait Observer: Send + Sync + 'static {
    /// Receives an event. Does nothing by default.
    fn on(&self, event: &Event<'_>) {
        let _ = event;
    }
}

/// Notifies the observer. Its panic, which the hook reports, must end neither a load nor a thread.
pub fn notify(observer: &dyn Observer, event: &Event<'_>) {
    drop(catch_unwind(AssertUnwindSafe(|| observer.on(event))));
}

/// An event of the cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A tier was queried for a key.
    Lookup {
        /// Class of the reader.
        class: &'static str,
        /// The tier, such as `l1`.
        tier: &'static str,
        /// Outcome of the lookup.
        outcome: LookupOutcome,
        /// Duration of the lookup. In L1, about one lookup in 64 is measured, because measuring
        /// costs more than the lookup. In L2, each one is measured.
        latency: Option<Duration>,
    },
    /// A load ended.
    Loaded {
        /// Class of the load.
        class: &'static str,
        /// Key of the load.
        key: &'a Key,
        /// Time from the start of the loader to its end. If it returned no value, from the start of
        /// the load, including the wait for L2 and for a permit.
        elapsed: Duration,
        /// Result of the load.
        result: LoadResult,
    },
    /// A value under this key is not of the requested type: two uses share a key. Counts as a miss.
    TypeMismatch {
        /// Class of the reader.
        class: &'static str,
        /// The key that two uses share.
        key: &'a Key,
        /// The type that the reader requested.
        expected: &'static str,
    },
    /// A tier that other processes share failed a step, or did not complete it in time. The read or
    /// invalidation continued without it.
    TierFailed {
        /// Name of the tier, such as `l2`.
        tier: &'static str,
        /// Name of the operation, such as `look` or `invalidate`.
        operation: &'static str,
        /// Reason of the failure.
        error: &'a (dyn Error + 'static),
    },
    /// A value could not be encoded, or bytes not decoded. Counts as a miss of L2.
    CodecFailed {
        /// Class of the reader.
        class: &'static str,
        /// The key.
        key: &'a Key,
        /// Reason of the failure.
        error: &'a (dyn Error + 'static),
    },
    /// A write-behind wrote a batch to the store.
    Flushed {
        /// Name of the write-behind.
        name: &'a str,
        /// Writes in the batch, after coalescing.
        writes: usize,
        /// Duration of the write.
        elapsed: Duration,
    },
    /// A write-behind could not write a batch. Its writes stay pending, for a retry after a pause.
    FlushFailed {
        /// Name of the write-behind.
        name: &'a str,
        /// Failures of this process so far.
        failures: u64,
        /// Reason of the failure.
        error: &'a (dyn Error + 'static),
    },
    /// A scope was invalidated.
    Invalidated {
        /// Scope of the invalidation.
        scope: Scope<'a>,
        /// Number of live entries removed. `None` if the generation alone was moved.
        removed: Option<usize>,
    },
    /// A load got no permit, because too many run at once, and waits for its turn.
    LoadQueued {
        /// Class of the load.
        class: &'static str,
        /// Key to load.
        key: &'a Key,
    },
    /// A read bypassed a `CacheLayer`, or its response was not kept.
    ResponseNotKept {
        /// Class of the layer.
        class: &'static str,
        /// The reason, as in `Cache-Status`: of the request `bypass`, `body`, `partial` or
        /// `request`; of the response `no-store`, `private`, `set-cookie`, `no lifetime`, `status`
        /// and others. `body` for reads without a body means that an outer layer wraps bodies and
        /// hides that.
        reason: &'static str,
    },
    /// An entry had to make room for another.
    Evicted {
        /// The tier, such as `l1`.
        tier: &'static str,
        /// The removed key.
        key: &'a Key,
    },
    /// An entry was removed for another reason than lack of room. An entry that died by its age, by
    /// a tag, by a class or by `TieredCache::clear` is removed and reported when it is next read or
    /// swept.
    Removed {
        /// The tier, such as `l1`.
        tier: &'static str,
        /// The removed key.
        key: &'a Key,
        /// Reason of the removal.
        cause: Removal,
    },
}

/// Reason why an entry was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Removal {
    /// Its lifetime was over, and its grace.
    Expired,
    /// Another value replaced it.
    Replaced,
    /// It was invalidated.
    Invalidated,
    /// It had to make room for another. Reported to `TypedCache::on_removal`; the event is
    /// [`Event::Evicted`].
    Evicted,
}

/// Result of a lookup in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LookupOutcome {
    /// A fresh value.
    Hit,
    /// A value within its grace.
    Stale,
    /// No value that could be served.
    Miss,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadResult {
    /// With a value that the cache stored.
    Stored,
    /// A value that L1 did not keep: invalidated meanwhile, too large, or not to be stored.
    NotStored,
    /// Without a value: the loader of a batch said so.
    Absent,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
    /// It did not end: its runtime was shut down.
    Aborted,
    /// It exceeded its limit, and was stopped.
    CutOff,
    /// It did not run: too many others did.
    Refused,
}

/// Scope of an invalidation.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Scope<'a> {
    /// One key.
    Key(&'a Key),
    /// One key, whose value counts as stale from now on (`TieredCache::expire`).
    Expired(&'a Key),
    /// All entries with this tag.
    Tag(&'a Tag),
    /// All keys that match.
    Pattern(&'a Pattern),
    /// All entries of this class whose key matches.
    PatternOf(&'a str, &'a Pattern),
    /// All entries of this class.
    Class(&'a str),
    /// Everything.
    All,
}
