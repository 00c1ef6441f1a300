//! The most requested keys, estimated from a sample: no lock, no allocation, fixed memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::key::Key;
use crate::text::Prehashed;

/// Number of samples kept: those of about the last million lookups, in 128 KiB.
const SAMPLES: usize = 16_384;

/// Number of bits that must be zero in a sample: one lookup in 64.
const SAMPLE_BITS: u32 = 6;

/// Marks an empty slot. A key with this hash counts as never sampled.
const EMPTY: u64 = 0;

/// The hashes of the last keys that were sampled.
pub struct Heat {
    samples: Box<[AtomicU64]>,
    next: AtomicUsize,
}

impl Heat {
    pub(crate) fn new() -> Self {
        Self { samples: (0..SAMPLES).map(|_| AtomicU64::new(EMPTY)).collect(), next: AtomicUsize::new(0) }
    }

    /// Whether the lookup of this number is a sample. A golden-ratio sequence: one in 64, without a
    /// period that a program which reads its keys in order could match.
    pub(crate) fn is_sample(nth: u64) -> bool {
        nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - SAMPLE_BITS) == 0
    }

    #[cold]
    pub(crate) fn note(&self, key: &Key) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % SAMPLES;
        self.samples[place].store(key.0.hash(), Ordering::Relaxed);
    }

    /// How often each hash was sampled.
    pub fn counts(&self) -> HashMap<u64, u64, Prehashed> {
        let mut counts = HashMap::default();
        for sample in &self.samples {
            let hash = sample.load(Ordering::Relaxed);
            if hash != EMPTY {
                *counts.entry(hash).or_insert(0) += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u64) -> Key {
        Key::builder("k").part(index).build().unwrap()
    }

    #[test]
    fn one_lookup_in_64_is_sampled_at_every_position_of_a_round() {
        let samples: Vec<u64> = (0..640_000).filter(|nth| Heat::is_sample(*nth)).collect();
        assert!((9_900..=10_100).contains(&samples.len()), "{}", samples.len());
        for round in [2, 10, 64, 100] {
            let places: std::collections::HashSet<u64> = samples.iter().map(|nth| nth % round).collect();
            assert_eq!(places.len() as u64, round, "of a program that reads {round} keys in turn");
        }
    }

    #[test]
    fn memory_is_fixed_and_only_the_latest_samples_count() {
        let heat = Heat::new();
        (0..SAMPLES as u64).for_each(|_| heat.note(&key(1)));
        (0..SAMPLES as u64 / 2).for_each(|_| heat.note(&key(2)));
        let counts = heat.counts();
        assert_eq!(counts[&key(1).0.hash()], SAMPLES as u64 / 2);
        assert_eq!(counts[&key(2).0.hash()], SAMPLES as u64 / 2);
    }
}
