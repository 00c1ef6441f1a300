//! The set of recently seen keys, in fixed memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// A set of hashes in buckets, each with the second in which it was last seen. Without locks.
///
/// A hash that was seen in two different seconds is a **regular**. A bucket has at most
/// [`REGULARS`] of them. In a full bucket, the hash that was seen once, longest ago, is replaced,
/// so hashes that are seen once never replace a regular. An unknown hash is a false positive with a
/// probability of `8 / 2³⁹`.
pub(super) struct Known {
    slots: Box<[AtomicU64]>,
    idle: u64,
}

/// Slots per bucket: one cache line of the processor.
const BUCKET: usize = 8;
/// Maximum number of regulars per bucket. The other slots are for hashes that may become regulars.
const REGULARS: usize = 6;
/// A slot has 39 bits of the hash, one bit for regulars, and 24 bits of the second, which wraps
/// around after 194 days. Zero is an empty slot.
const SECOND_BITS: u32 = 24;
const SECONDS: u64 = (1 << SECOND_BITS) - 1;
const REGULAR: u64 = 1 << SECOND_BITS;
const HASH_SHIFT: u32 = SECOND_BITS + 1;
/// With more slots, the bits of a hash could not select every bucket.
const MAX_PLACES: usize = BUCKET << SECOND_BITS;

impl Known {
    /// Creates a set for about `keys` hashes, each known for `idle` after it was last seen.
    pub(super) fn new(keys: usize, idle: Duration) -> Self {
        let count = places(keys);
        // At most half of the range, so that a future time is not mistaken for a past one.
        let idle = idle.as_secs().clamp(1, SECONDS / 2);
        Self { slots: (0..count).map(|_| AtomicU64::new(0)).collect(), idle }
    }

    /// Whether the hash is known. If so, updates its second; a different one makes it a regular.
    pub(super) fn see(&self, hash: u64, now: Timestamp) -> bool {
        let wanted = slot(hash, now);
        for at in self.bucket(hash) {
            let held = at.load(Ordering::Relaxed);
            if held >> HASH_SHIFT == wanted >> HASH_SHIFT && self.is_known(held, wanted) {
                if held & SECONDS != wanted & SECONDS {
                    self.promote(at, held, hash, wanted);
                }
                return true;
            }
        }
        false
    }

    /// If the exchange fails, another thread has recorded the hash.
    fn promote(&self, at: &AtomicU64, held: u64, hash: u64, wanted: u64) {
        let seen = at.compare_exchange(held, wanted | REGULAR, Ordering::Relaxed, Ordering::Relaxed);
        if seen.is_err() || held & REGULAR != 0 {
            return;
        }
        let regulars = self.bucket(hash).iter().map(|at| (at, at.load(Ordering::Relaxed)));
        let regulars = regulars.filter(|(_, held)| held & REGULAR != 0);
        if regulars.clone().count() > REGULARS
            && let Some((at, held)) = regulars.max_by_key(|(_, held)| self.age(*held, wanted))
        {
            let _ = at.compare_exchange(held, held & !REGULAR, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Adds a hash that an operator named. It is a regular immediately.
    pub(super) fn add_regular(&self, hash: u64, now: Timestamp) {
        self.add(hash, now);
        let wanted = slot(hash, now);
        if let Some(at) = self.bucket(hash).iter().find(|at| at.load(Ordering::Relaxed) == wanted) {
            self.promote(at, wanted, hash, wanted);
        }
    }

    /// Adds the hash. Replaces one that has expired, otherwise the one seen once, longest ago.
    pub(super) fn add(&self, hash: u64, now: Timestamp) {
        let wanted = slot(hash, now);
        // An attempt fails if another thread stored a hash there. The next oldest is then replaced.
        for _ in 0..BUCKET {
            let held = self.bucket(hash).iter().map(|at| (at, at.load(Ordering::Relaxed)));
            let oldest = held
                .max_by_key(|(_, held)| (!self.is_known(*held, wanted), *held & REGULAR == 0, self.age(*held, wanted)));
            let Some((at, held)) = oldest else { return };
            if at.compare_exchange(held, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    fn is_known(&self, held: u64, now: u64) -> bool {
        held != 0 && self.age(held, now) <= self.idle
    }

    /// Seconds since the hash was last seen. Zero if the clock was set back slightly.
    fn age(&self, held: u64, now: u64) -> u64 {
        let age = now.wrapping_sub(held) & SECONDS;
        if age > SECONDS - self.idle { 0 } else { age }
    }

    fn bucket(&self, hash: u64) -> &[AtomicU64] {
        let buckets = self.slots.len() / BUCKET;
        // The bits that are not stored in a slot.
        let at = usize::try_from(hash & SECONDS).unwrap_or(0) % buckets * BUCKET;
        &self.slots[at..at + BUCKET]
    }
}

fn places(keys: usize) -> usize {
    keys.clamp(BUCKET, MAX_PLACES).next_power_of_two()
}

fn slot(hash: u64, now: Timestamp) -> u64 {
    let second = (now.as_micros() / 1_000_000) & SECONDS;
    // Zero would mean an empty slot.
    ((hash >> HASH_SHIFT).max(1) << HASH_SHIFT) | second
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

    /// A flood of hashes that are seen once does not displace hashes that return, if it brings
    /// fewer hashes than the capacity between two visits.
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

    /// Ten times as many hashes that are seen once as there are slots, between two visits.
    #[test]
    fn regulars_outlast_a_flood_of_those_that_come_once() {
        let known = Known::new(8_192, Duration::from_hours(1));
        for second in [0, 1] {
            for regular in 0..1_000 {
                if !known.see(mix(regular), at(second)) {
                    known.add(mix(regular), at(second));
                }
            }
        }
        for number in 0..82_000 {
            known.add(mix(1_000_000 + number), at(2 + number / 100));
        }
        assert_eq!((0..1_000).filter(|regular| !known.see(mix(*regular), at(1_000))).count(), 0);
        // Regulars expire too, and can be replaced by each other.
        assert!(!known.see(mix(1), at(1_000 + 3_601)));
        known.add(mix(1), at(5_000));
        assert!(known.see(mix(1), at(5_000)));
    }

    #[test]
    fn newcomers_find_a_place_among_regulars() {
        let known = Known::new(BUCKET, Duration::from_hours(1));
        for regular in 0..100 {
            known.add_regular(mix(regular), at(0));
        }
        known.add(mix(1_000), at(1));
        known.add(mix(1_001), at(2));
        assert!(known.see(mix(1_000), at(2)) && known.see(mix(1_001), at(2)));
    }

    #[test]
    fn places_are_bounded() {
        assert_eq!((places(0), places(9), places(usize::MAX)), (8, 16, 134_217_728));
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
