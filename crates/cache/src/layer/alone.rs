//! What was its asker's alone when it was last asked for: there nobody waits for another's response.

use std::time::Duration;

use quick_cache::sync::Cache;

use crate::key::Key;

/// For how long that is remembered after the last response that was so.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Of so many keys.
const MOST: usize = 4_096;

/// Why a response was its asker's alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// Its status or its headers say so.
    Head,
    /// Of its body, which nobody knows before it was read: it is too long, broke off, or has trailers.
    Body,
}

/// Keys whose last response must not be shared, apart for those with an `Authorization` and those without: what one of them may not
/// share the others may. In a table of its own, so that whoever asks for a thousand such targets drives nothing out of the cache.
pub(super) struct Alone {
    notes: Cache<(Key, bool), (Because, Duration)>,
}

impl Alone {
    pub(super) fn new() -> Self {
        Self { notes: Cache::new(MOST) }
    }

    /// Why this request is to be made for its asker alone, if it is.
    pub(super) fn because(&self, key: &Key, is_authorized: bool, now: Duration) -> Option<Because> {
        let (because, until) = self.notes.get(&(key.clone(), is_authorized))?;
        (now < until).then_some(because)
    }

    pub(super) fn note(&self, key: &Key, is_authorized: bool, because: Because, now: Duration) {
        self.notes.insert((key.clone(), is_authorized), (because, now.saturating_add(REMEMBERED)));
    }

    /// A response says that it may be shared: the next request is one for all who wait.
    pub(super) fn forget(&self, key: &Key, is_authorized: bool) {
        self.notes.remove(&(key.clone(), is_authorized));
    }
}
