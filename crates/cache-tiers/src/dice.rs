//! Randomness for the spread of lifetimes and early refreshes. One seed always gives the same
//! draws.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// `SplitMix64` over a shared counter: draws from any thread without a lock. Not for secrets.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Creates a counter that is seeded differently in every process.
    pub(crate) fn random() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Draws evenly from zero to `most`, both included.
    pub(crate) fn up_to(&self, most: u64) -> u64 {
        let product = u128::from(self.draw()) * (u128::from(most) + 1);
        // Below `most + 1` after the shift.
        u64::try_from(product >> 64).unwrap_or(most)
    }

    /// Draws from the exponential distribution of mean 1, from zero to 37.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
    pub(crate) fn exponential(&self) -> f64 {
        let fraction = ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -fraction.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let (one, other) = (Dice::new(7), Dice::new(7));
        assert!((0..100).all(|_| one.up_to(1000) == other.up_to(1000)));
    }

    #[test]
    fn draws_are_spread_evenly_and_stay_within_their_bounds() {
        let dice = Dice::new(1);
        let mut counts = [0_u32; 10];
        (0..100_000).for_each(|_| counts[usize::try_from(dice.up_to(9)).unwrap()] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(dice.up_to(0), 0);
        assert!((0..1000).any(|_| dice.up_to(u64::MAX) > u64::MAX / 2));
    }

    #[test]
    fn exponential_draws_have_a_mean_of_one() {
        let dice = Dice::new(1);
        let sum: f64 = (0..100_000).map(|_| dice.exponential()).sum();
        assert!((98_000.0..102_000.0).contains(&sum), "{sum}");
    }
}
