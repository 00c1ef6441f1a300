//! Which requests may wait for one another. None may if the last response of the target was private
//! to its client. Requests with an `Authorization` may only if the response said that they may
//! share it.

use std::time::Duration;

use quick_cache::sync::Cache;

use tidegate_cache_tiers::Key;

/// Time for which this is remembered after the last such response.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Maximum number of remembered keys.
const MOST: usize = 4_096;

/// Reason why a response was private to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// Its status or its headers say so.
    Head,
    /// Its body, which is not known before it was read: it is too long, broke off, or has trailers.
    Body,
}

/// Requests that may share a query to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// All requests without an `Authorization`.
    All,
    /// All requests with one: the response said that they may share it (RFC 9111, 3.5).
    Authorized,
    /// No other request.
    None,
}

/// Keys whose last response must not be shared, separately for requests with and without an
/// `Authorization`: a response that one group may not share, the other may. The table is separate
/// from the cache: a client with a thousand such targets evicts nothing.
pub(super) struct Alone {
    notes: Cache<(Key, bool), (Because, Duration)>,
    /// Keys of which authorized requests shared a response, and until when that is expected again.
    /// Each response is judged anew: one that may not be shared goes to its client alone.
    open: Cache<Key, Duration>,
}

impl Alone {
    pub(super) fn new() -> Self {
        Self { notes: Cache::new(MOST), open: Cache::new(MOST) }
    }

    /// Returns why this request must be sent for its client alone, if so.
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

    /// Notes that authorized requests may share a response, which is fresh until `end`.
    pub(super) fn note_open(&self, key: &Key, end: Duration) {
        self.open.insert(key.clone(), end.saturating_add(REMEMBERED));
    }

    pub(super) fn is_open(&self, key: &Key, now: Duration) -> bool {
        self.open.get(key).is_some_and(|until| now < until)
    }

    /// Notes that a response may be shared: the next request is one for all that wait.
    pub(super) fn forget(&self, key: &Key, is_authorized: bool) {
        self.notes.remove(&(key.clone(), is_authorized));
    }
}
