//! Which invalidations this process need not act on when it reads them: those on which it has
//! acted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes through the cache that are remembered. One that is forgotten costs its value the place in
/// the cache, no more.
const MOST: usize = 1_024;

/// The origins of this process's invalidations. Clones share what they know.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    own: i64,
    /// Origins of writes through the cache that are over: the cache holds what they wrote, or
    /// nothing.
    written_through: Arc<Mutex<VecDeque<i64>>>,
}

impl Origins {
    pub(super) fn new() -> Self {
        Self { own: random(), written_through: Arc::default() }
    }

    /// The origin of invalidations on which this process acts before the others hear of them.
    pub(super) fn own(&self) -> i64 {
        self.own
    }

    /// The origin of one write through the cache. Until [`end`](Self::end) this process acts on it
    /// too: a client may ask here that has seen the new row through another process, while the
    /// cache does not have it yet.
    pub(super) fn begin() -> i64 {
        random()
    }

    /// The write is over, and the cache is as it left it.
    pub(super) fn end(&self, origin: i64) {
        let mut written = self.written_through();
        if written.len() >= MOST {
            written.pop_front();
        }
        written.push_back(origin);
    }

    /// Whether this process has acted on an invalidation of that origin.
    pub(super) fn have_acted_on(&self, origin: i64) -> bool {
        origin == self.own || self.written_through().contains(&origin)
    }

    fn written_through(&self) -> MutexGuard<'_, VecDeque<i64>> {
        self.written_through.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> i64 {
    uuid::Uuid::new_v4().as_u64_pair().0.cast_signed()
}
