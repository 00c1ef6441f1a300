//! What happened to keys here, which answers that were under way know nothing of.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// What an answer may teach of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learn {
    Nothing,
    /// That it is blocked, where it is; not that it isn't, and not what is used.
    Block,
    All,
}

/// So many keys at least are told apart.
const COUNTERS: usize = 256;

/// How much happened to keys here. Many keys share a counter: then less is learned of one than could be, and nothing wrong.
///
/// To be counted before the key is changed here, and compared while the key is locked: then no answer slips in between.
pub(super) struct Changes {
    counters: [Counter; COUNTERS],
    hasher: RandomState,
}

#[derive(Default)]
struct Counter {
    by_hand: AtomicU64,
    decided: AtomicU64,
}

/// What was so before something was asked.
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

    /// Notes that a block, an unblock or a reset has ended: what was asked before may be of before.
    pub(super) fn by_hand(&self, key: &str) {
        self.of(key).by_hand.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that the key is decided over without Redis: what was asked before doesn't tell of that. What is asked after it does,
    /// since the debts are settled first.
    pub(super) fn decided(&self, key: &str) {
        self.of(key).decided.fetch_add(1, Ordering::AcqRel);
    }

    /// To be asked before Redis is.
    pub(super) fn before(&self, key: &str) -> Before<'_> {
        let counter = self.of(key);
        let [by_hand, decided] = [&counter.by_hand, &counter.decided].map(|count| count.load(Ordering::Acquire));
        Before { counter, by_hand, decided }
    }
}

impl Before<'_> {
    /// What the answer to what was asked then may teach now.
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
