//! The query of a load to L2 for its key, and the notices for that key meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::l2::EntryId;

/// The part of a load that concerns L2.
#[derive(Debug, Default)]
pub struct Inquiry {
    /// The entry of L2 that it replaces.
    past: OnceLock<EntryId>,
    /// Whether it waits for no load of another process. Only L2 reads it.
    pub(crate) is_alone: AtomicBool,
    /// Whether L2 could not be queried.
    lacks_l2: AtomicBool,
    /// How often others, or this process itself, changed the key in L2 meanwhile.
    noticed: AtomicU64,
}

impl Inquiry {
    /// Makes it one that replaces this entry of L2, although the entry is still valid.
    pub fn replaces(&self, entry: EntryId) {
        // Set once, when the load is created.
        let _ = self.past.set(entry);
    }

    /// Returns the entry of L2 that it replaces.
    pub fn past(&self) -> Option<EntryId> {
        self.past.get().copied()
    }

    /// Makes it one that waits for no load of another process.
    pub fn goes_alone(&self) {
        self.is_alone.store(true, Ordering::SeqCst);
    }

    /// Notes that L2 could not be queried, so its content is unknown.
    pub(crate) fn lacks_l2(&self) {
        self.lacks_l2.store(true, Ordering::SeqCst);
    }

    /// Whether L2 exists but could not be queried.
    #[cfg(feature = "sessions")]
    pub(crate) fn is_without_l2(&self) -> bool {
        self.lacks_l2.load(Ordering::SeqCst)
    }

    /// Counts a notice of a change of the key.
    pub(crate) fn notice(&self) {
        self.noticed.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how many notices of a change of its key came since it started.
    pub fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }
}
