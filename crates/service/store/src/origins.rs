//! Origins of the invalidations that this process has already applied and can skip when it reads
//! them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of writes through the cache that are remembered. If one is forgotten, its value
/// is dropped from the cache, nothing else.
const MOST: usize = 1_024;

/// The origins of this process's invalidations. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    own: i64,
    /// Origins of completed writes through the cache: the cache has the written value or none.
    written_through: Arc<Mutex<VecDeque<i64>>>,
}

impl Origins {
    pub(super) fn new() -> Self {
        Self { own: random(), written_through: Arc::default() }
    }

    /// The origin of invalidations that this process applies before other processes receive them.
    pub(super) fn own(&self) -> i64 {
        self.own
    }

    /// Returns the origin of one write through the cache. Until [`end`](Self::end), this process
    /// also applies its invalidation: a client that saw the new row through another process may
    /// send a request here before the cache has it.
    pub(super) fn begin() -> i64 {
        random()
    }

    /// Records that the write is complete and the cache is up to date.
    pub(super) fn end(&self, origin: i64) {
        let mut written = self.written_through();
        if written.len() >= MOST {
            written.pop_front();
        }
        written.push_back(origin);
    }

    /// Whether this process has applied the invalidations of that origin.
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
