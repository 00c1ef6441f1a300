//! What Redis said last of each key, for the outage that may come.

use crate::store::{Standing, Store};
use crate::{Decision, Timestamp};

/// The last word of Redis on at most so many keys.
pub(super) struct Known {
    keys: Store<Word>,
}

struct Word {
    remaining: u64,
    date: Timestamp,
    /// From when on nothing is used any more.
    resets: Timestamp,
    blocked_until: Timestamp,
    /// Whether an outage has begun with it already.
    is_taken: bool,
}

/// Two processes may round the end of one block differently, and read their clocks at different moments.
const SAME_BLOCK_MICROS: u64 = 1_000_000;

impl Known {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { keys: Store::new(max_keys) }
    }

    /// Takes in a decision that Redis made just now.
    pub(super) fn learn(&self, key: &str, decision: &Decision, now: Timestamp) {
        let word = || Word {
            remaining: decision.remaining(),
            date: now,
            resets: now.saturating_add(decision.reset_after()),
            blocked_until: decision.blocked_for().map_or(Timestamp::MIN, |left| now.saturating_add(left)),
            is_taken: false,
        };
        let standing = |word: &Word| {
            if word.resets <= now { Standing::Expired } else { Standing::Live(0, u64::MAX - word.remaining) }
        };
        // Nothing is pinned, so there is always room.
        let _ = self.keys.lock(key).with(standing, word, |known| *known = word());
    }

    /// What was left of the key and when Redis said so; once after each word.
    pub(super) fn take(&self, key: &str, now: Timestamp) -> Option<(u64, Timestamp)> {
        let mut place = self.keys.lock(key);
        let (_, word) = place.get_mut().filter(|(_, word)| !word.is_taken)?;
        word.is_taken = true;
        Some((if word.resets <= now { u64::MAX } else { word.remaining }, word.date))
    }

    /// Takes in that the limit was changed: what is used stays used.
    pub(super) fn change_limit(&self, before: u64, after: u64) {
        let carry = |(): &(), word: &mut Word, ()| {
            word.remaining = word.remaining.saturating_add(after).saturating_sub(before);
        };
        self.keys.change(&(), || (), carry);
    }

    /// Whether Redis has told of that block.
    pub(super) fn is_blocked_until(&self, key: &str, until: Timestamp) -> bool {
        self.keys
            .lock(key)
            .get()
            .is_some_and(|word| word.blocked_until.as_micros().saturating_add(SAME_BLOCK_MICROS) >= until.as_micros())
    }

    pub(super) fn forget(&self, key: &str) {
        self.keys.lock(key).remove();
    }
}
