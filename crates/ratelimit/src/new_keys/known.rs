//! Which keys came lately, in fixed memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// A set of hashes in buckets, each with the second in which it was last seen. Without locks.
///
/// Where a bucket is full the hash that was seen longest ago gives way. A stranger is taken for known with a probability of
/// `8 / 2⁴⁰`.
pub(super) struct Known {
    slots: Box<[AtomicU64]>,
    idle: u64,
}

/// Slots of a bucket: what lies in one line of the processor's cache.
const BUCKET: usize = 8;
/// A slot is 40 bits of the hash and 24 bits of the second, which return after 194 days. Zero is empty.
const SECOND_BITS: u32 = 24;
const SECONDS: u64 = (1 << SECOND_BITS) - 1;

impl Known {
    /// Room for about so many hashes, each known for so long after it was last seen.
    pub(super) fn new(keys: usize, idle: Duration) -> Self {
        let count = keys.max(BUCKET).next_power_of_two();
        // Half of the seconds that a slot can tell apart, so that one that is to come isn't taken for one long past.
        let idle = idle.as_secs().clamp(1, SECONDS / 2);
        Self { slots: (0..count).map(|_| AtomicU64::new(0)).collect(), idle }
    }

    /// Whether the hash was seen lately. If so, it is seen now.
    pub(super) fn see(&self, hash: u64, now: Timestamp) -> bool {
        let wanted = slot(hash, now);
        for at in self.bucket(hash) {
            let held = at.load(Ordering::Relaxed);
            if held >> SECOND_BITS == wanted >> SECOND_BITS && self.age(held, wanted) <= self.idle {
                if held != wanted {
                    // Where another thread was first, that one has seen it.
                    let _ = at.compare_exchange(held, wanted, Ordering::Relaxed, Ordering::Relaxed);
                }
                return true;
            }
        }
        false
    }

    /// Takes the hash in, in place of the one in its bucket that was seen longest ago.
    pub(super) fn add(&self, hash: u64, now: Timestamp) {
        let wanted = slot(hash, now);
        // Each attempt that fails means that another thread put a hash there; then the next oldest gives way.
        for _ in 0..BUCKET {
            let held = self.bucket(hash).iter().map(|at| (at, at.load(Ordering::Relaxed)));
            let oldest = held.max_by_key(|(_, held)| if *held == 0 { u64::MAX } else { self.age(*held, wanted) });
            let Some((at, held)) = oldest else { return };
            if at.compare_exchange(held, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// How many seconds ago it was seen. A clock that was set back by little makes it seen now.
    fn age(&self, held: u64, now: u64) -> u64 {
        let age = now.wrapping_sub(held) & SECONDS;
        if age > SECONDS - self.idle { 0 } else { age }
    }

    fn bucket(&self, hash: u64) -> &[AtomicU64] {
        let buckets = self.slots.len() / BUCKET;
        // The bits that no slot keeps.
        let at = usize::try_from(hash & SECONDS).unwrap_or(0) % buckets * BUCKET;
        &self.slots[at..at + BUCKET]
    }
}

fn slot(hash: u64, now: Timestamp) -> u64 {
    let second = (now.as_micros() / 1_000_000) & SECONDS;
    // Zero would be empty.
    ((hash >> SECOND_BITS).max(1) << SECOND_BITS) | second
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn mix(key: u64) -> u64 {
        let mixed = (key + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
        (mixed ^ mixed >> 29).wrapping_mul(0x94D0_49BB_1331_11EB)
    }

    #[test]
    fn knows_for_as_long_as_it_is_seen() {
        let known = Known::new(1_000, Duration::from_mins(1));
        assert!(!known.see(mix(1), at(100)));
        known.add(mix(1), at(100));
        assert!(known.see(mix(1), at(100)) && known.see(mix(1), at(160)) && known.see(mix(1), at(220)));
        assert!(!known.see(mix(1), at(281)));
        assert!(!known.see(mix(2), at(220)));
    }

    #[test]
    fn the_clock_may_jump() {
        let known = Known::new(1_000, Duration::from_mins(1));
        known.add(mix(1), at(1_000));
        assert!(known.see(mix(1), at(990)));
        assert!(!known.see(mix(1), at(1_000_000)));
        assert!(!known.see(mix(1), Timestamp::MAX));
        known.add(mix(1), Timestamp::MAX);
        assert!(known.see(mix(1), Timestamp::MAX));
    }

    /// A flood of hashes that come once doesn't displace those that come again, while it brings less than there is room for
    /// between two visits.
    #[test]
    fn who_comes_again_outlasts_who_comes_once() {
        let known = Known::new(8_192, Duration::from_hours(1));
        for regular in 0..500 {
            known.add(mix(regular), at(0));
        }
        let mut forgotten = 0;
        for second in 1..200 {
            for visitor in 0..10 {
                known.add(mix(1_000_000 + second * 100 + visitor), at(second));
            }
            if second % 10 == 0 {
                forgotten += (0..500).filter(|regular| !known.see(mix(*regular), at(second))).count();
            }
        }
        assert_eq!(forgotten, 0);
    }

    #[test]
    fn takes_no_stranger_for_known() {
        let known = Known::new(8_192, Duration::from_hours(1));
        for key in 0..8_192 {
            known.add(mix(key), at(5));
        }
        assert_eq!((10_000..200_000).filter(|key| known.see(mix(*key), at(5))).count(), 0);
    }
}
