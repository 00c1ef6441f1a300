//! Random numbers that are the same in every run.

use std::f64::consts::TAU;

/// `SplitMix64`: a counter with a mixing function. Consecutive seeds produce independent streams.
///
/// ```
/// use tidegate_testkit::Random;
///
/// let (mut one, mut again) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next(), again.next());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates the stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// Returns 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "a stream without an end is a poor iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `end`, which must not be zero.
    #[expect(clippy::cast_possible_truncation, reason = "it is below `end`, which is a usize")]
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns a number between 0 and 1, never 0.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Returns a number of the Poisson distribution with that mean.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            // The sum of two Poisson variables is a Poisson variable.
            return self.poisson(mean / 2.0) + self.poisson(mean / 2.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// Returns a number of the exponential distribution with that mean, rounded.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a float saturates")]
    pub fn exponential(&mut self, mean: f64) -> u64 {
        (-self.unit().ln() * mean).round() as u64
    }
}
