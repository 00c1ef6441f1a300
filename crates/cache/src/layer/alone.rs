//! Who may wait for whom: nobody where a response was its asker's alone when it was last asked for, and requests with an
//! `Authorization` for one another where it said that they may share it.

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

/// With whom a request may ask the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// All without an `Authorization`.
    All,
    /// All with one: the response said that they may share it (RFC 9111, 3.5).
    Authorized,
    /// Nobody.
    None,
}

/// Keys whose last response must not be shared, apart for those with an `Authorization` and those without: what one of them may not
/// share the others may. In a table of its own, so that whoever asks for a thousand such targets drives nothing out of the cache.
pub(super) struct Alone {
    notes: Cache<(Key, bool), (Because, Duration)>,
    /// Keys of which authorized requests shared a response, and until when it is expected that they may again. Each answer is
    /// judged anew: one that may not be shared is given to its asker alone.
    open: Cache<Key, Duration>,
}

impl Alone {
    pub(super) fn new() -> Self {
        Self { notes: Cache::new(MOST), open: Cache::new(MOST) }
    }

    /// Why this request is to be made for its asker alone, if it is.
    pub(super) fn because(&self, key: &Key, is_authorized: bool, now: Duration) -> Option<Because> {
        let (because, until) = self.notes.get(&(key.clone(), is_authorized))?;
        (now < until).then_some(because)
    }

    pub(super) fn note(&self, key: &Key, is_authorized: bool, because: Because, now: Duration) {
        self.notes.insert((key.clone(), is_authorized), (because, now.saturating_add(REMEMBERED)));
        if is_authorized {
            self.open.remove(key);
        }
    }

    /// A response says that authorized requests may share it; it is fresh until `end`.
    pub(super) fn note_open(&self, key: &Key, end: Duration) {
        self.open.insert(key.clone(), end.saturating_add(REMEMBERED));
    }

    pub(super) fn is_open(&self, key: &Key, now: Duration) -> bool {
        self.open.get(key).is_some_and(|until| now < until)
    }

    /// A response says that it may be shared: the next request is one for all who wait.
    pub(super) fn forget(&self, key: &Key, is_authorized: bool) {
        self.notes.remove(&(key.clone(), is_authorized));
    }
}
