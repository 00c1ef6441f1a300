//! The last reply of Redis for each key, for use in an outage.

use std::time::Duration;

use crate::Timestamp;
use crate::limiter::Learn;
use crate::redis::Said;
use crate::store::{Standing, Store};

/// The last replies of Redis, for a limited number of keys.
pub(super) struct Known {
    keys: Store<Word>,
}

struct Word {
    /// Negative if the limit was lowered below the usage.
    remaining: i64,
    date: Timestamp,
    /// Time from which nothing is used.
    resets: Timestamp,
    blocked_until: Timestamp,
    /// Whether the share has begun with it.
    is_taken: bool,
}

impl Word {
    fn last(&self, now: Timestamp) -> Last {
        if self.is_taken {
            return Last::Begun;
        }
        Last::Left(if self.resets <= now { u64::MAX } else { self.remaining() }, self.date)
    }

    fn standing(&self, now: Timestamp) -> Standing {
        if self.resets.max(self.blocked_until) <= now {
            Standing::Expired
        } else {
            Standing::Live(0, u64::MAX - self.remaining())
        }
    }

    fn remaining(&self) -> u64 {
        u64::try_from(self.remaining).unwrap_or(0)
    }
}

/// The basis on which a share begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The remaining amount that Redis reported, with the time of the reply.
    Left(u64, Timestamp),
    /// Redis has not reported the key.
    Unknown,
    /// The share has already begun.
    Begun,
}

/// Tolerance for the end of a block, which processes round differently.
const SAME_BLOCK_MICROS: u64 = 1_000_000;

impl Known {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { keys: Store::new(max_keys) }
    }

    /// Stores the part of a reply that `learn` selects while the key is locked. A block says
    /// nothing about the usage and ends by itself.
    pub(super) fn learn(&self, key: &str, said: &Said, now: Timestamp, learn: impl FnOnce() -> Learn) {
        let word = || Word {
            remaining: i64::try_from(said.usage.remaining()).unwrap_or(i64::MAX),
            date: now,
            resets: now.saturating_add(said.usage.reset_after()),
            blocked_until: said.decision.blocked_for().map_or(Timestamp::MIN, |left| now.saturating_add(left)),
            is_taken: false,
        };
        let standing = |word: &Word| word.standing(now);
        let mut place = self.keys.lock(key);
        // No entry is pinned, so there is always capacity.
        let _ = match learn() {
            Learn::All => place.with(standing, word, |known| *known = word()),
            Learn::Block if said.decision.blocked_for().is_some() => {
                // The share has begun without this reply.
                let blocked = || Word { is_taken: true, ..word() };
                place.with(standing, blocked, |known| {
                    known.blocked_until = known.blocked_until.max(word().blocked_until);
                })
            }
            Learn::Block | Learn::Nothing => return,
        };
    }

    /// Begins the key's share with the last reply of Redis, once per reply. If `unknown` is set,
    /// stores for that time that the share of an unknown key has begun.
    pub(super) fn take(&self, key: &str, now: Timestamp, unknown: Option<Duration>) -> Last {
        let mut place = self.keys.lock(key);
        if let Some((_, word)) = place.get_mut() {
            let last = word.last(now);
            word.is_taken = true;
            return last;
        }
        if let Some(kept) = unknown {
            let resets = now.saturating_add(kept);
            // Evicted first: the reply for another key is more valuable.
            let word = Word { remaining: i64::MAX, date: now, resets, blocked_until: Timestamp::MIN, is_taken: true };
            place.with(|word| word.standing(now), || word, |_| ()).ok();
        }
        Last::Unknown
    }

    /// Same as [`take`](Self::take), but does not begin the share.
    pub(super) fn look(&self, key: &str, now: Timestamp) -> Last {
        self.keys.lock(key).get().map_or(Last::Unknown, |word| word.last(now))
    }

    /// Adapts the remaining amounts to a changed limit. The usage is kept, except for a penalty
    /// beyond the limit, which Redis does not report.
    pub(super) fn change_limit(&self, before: u64, after: u64) {
        let [before, after] = [before, after].map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let carry = |(): &(), word: &mut Word, ()| {
            word.remaining = word.remaining.saturating_add(after - before);
        };
        self.keys.change(&(), || (), carry);
    }

    /// Whether Redis has reported that block.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowance, Decision, Quota};

    #[test]
    fn what_is_used_stays_used_where_the_limit_is_lowered_and_raised_again() {
        let (quota, hour) = (Quota::per_hour(9).unwrap(), Duration::from_hours(1));
        let usage =
            Decision::Allowed(Allowance { quota, limit: 9, remaining: 6, reset_after: hour, delay: Duration::ZERO });
        let (known, told) = (Known::new(10), Timestamp::from_micros(1_000_000_000));
        known.learn("key", &Said { decision: usage, usage }, told, || Learn::All);
        known.change_limit(9, 1);
        assert_eq!(known.look("key", told), Last::Left(0, told));
        known.change_limit(1, 9);
        assert_eq!(known.look("key", told), Last::Left(6, told));
    }

    #[test]
    fn a_flood_of_unknown_keys_does_not_displace_what_is_known() {
        let (quota, hour) = (Quota::per_hour(9).unwrap(), Duration::from_hours(1));
        let usage =
            Decision::Allowed(Allowance { quota, limit: 9, remaining: 8, reset_after: hour, delay: Duration::ZERO });
        let (known, now) = (Known::new(1_000), Timestamp::from_micros(1_000_000_000));
        for key in 0..100 {
            known.learn(&format!("known {key}"), &Said { decision: usage, usage }, now, || Learn::All);
        }
        for key in 0..10_000 {
            assert_eq!(known.take(&format!("unknown {key}"), now, Some(hour)), Last::Unknown);
        }
        for key in 0..100 {
            assert_eq!(known.look(&format!("known {key}"), now), Last::Left(8, now), "{key}");
        }
    }

    #[test]
    fn a_block_that_has_passed_leaves_what_was_left() {
        let (quota, hour) = (Quota::per_hour(9).unwrap(), Duration::from_hours(1));
        let usage =
            Decision::Allowed(Allowance { quota, limit: 9, remaining: 6, reset_after: hour, delay: Duration::ZERO });
        let decision = usage.blocked(Duration::from_secs(10));
        let (known, told) = (Known::new(10), Timestamp::from_micros(1_000_000_000));
        known.learn("key", &Said { decision, usage }, told, || Learn::All);
        assert!(known.is_blocked_until("key", told.saturating_add(Duration::from_secs(10))));
        assert_eq!(known.take("key", told.saturating_add(Duration::from_secs(11)), None), Last::Left(6, told));
        // A reply to a running request contributes only its block.
        let told_later = told.saturating_add(Duration::from_secs(5));
        known.learn("key", &Said { decision, usage }, told_later, || Learn::Block);
        assert!(known.is_blocked_until("key", told_later.saturating_add(Duration::from_secs(10))));
        known.learn("new", &Said { decision, usage }, told_later, || Learn::Block);
        assert!(known.is_blocked_until("new", told_later) && known.look("new", told_later) == Last::Begun);
        assert_eq!(known.take("key", told_later, None), Last::Begun);
        // After the hour has passed, the whole amount is available.
        known.learn("key", &Said { decision, usage }, told, || Learn::All);
        assert_eq!(known.take("key", told.saturating_add(hour), None), Last::Left(u64::MAX, told));
        // For a key that Redis never reported, only the beginning of its share is stored, if
        // requested.
        assert_eq!(
            [None, Some(hour), None].map(|kept| known.take("unknown", told, kept)),
            [Last::Unknown, Last::Unknown, Last::Begun]
        );
    }
}
