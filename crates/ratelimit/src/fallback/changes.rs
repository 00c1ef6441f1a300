//! Changes to keys in this process that replies to running requests do not include.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limiter::Learn;

/// Number of counters. Keys with different counters are distinguished.
const COUNTERS: usize = 256;

/// Counts the changes to keys in this process. Many keys share a counter. Less of a reply is then
/// applied than possible, but never anything wrong.
///
/// A change must be counted before the key is changed, and compared while the key is locked, so
/// that no reply is applied in between.
pub(super) struct Changes {
    counters: [Counter; COUNTERS],
    hasher: RandomState,
}

#[derive(Default)]
struct Counter {
    by_hand: AtomicU64,
    decided: AtomicU64,
}

/// State of a counter before a request was sent.
pub(super) struct Before<'a> {
    counter: &'a Counter,
    by_hand: u64,
    decided: u64,
}

impl Default for Changes {
    fn default() -> Self {
        Self { counters: std::array::from_fn(|_| Counter::default()), hasher: RandomState::new() }
    }
}

impl Changes {
    fn of(&self, key: &str) -> &Counter {
        let index = self.hasher.hash_one(key) % COUNTERS as u64;
        &self.counters[usize::try_from(index).unwrap_or(0)]
    }

    /// Counts a completed block, unblock or reset: replies to earlier requests may be outdated.
    pub(super) fn by_hand(&self, key: &str) {
        self.of(key).by_hand.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a decision without Redis: replies to earlier requests do not include it. Replies to
    /// later requests do, because the debts are settled first.
    pub(super) fn decided(&self, key: &str) {
        self.of(key).decided.fetch_add(1, Ordering::AcqRel);
    }

    /// Must be called before the request to Redis is sent.
    pub(super) fn before(&self, key: &str) -> Before<'_> {
        let counter = self.of(key);
        let [by_hand, decided] = [&counter.by_hand, &counter.decided].map(|count| count.load(Ordering::Acquire));
        Before { counter, by_hand, decided }
    }
}

impl Before<'_> {
    /// Which part of the reply to that request may be applied now.
    pub(super) fn learn(&self) -> Learn {
        if self.counter.by_hand.load(Ordering::Acquire) != self.by_hand {
            Learn::Nothing
        } else if self.counter.decided.load(Ordering::Acquire) != self.decided {
            Learn::Block
        } else {
            Learn::All
        }
    }
}
