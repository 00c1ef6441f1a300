//! The part of an algorithm that its script needs.

use std::num::NonZeroU32;
use std::time::Duration;

use super::MAX_MICROS;
use super::scripts::{Scripts, Time};
use crate::{
    Algorithm, Allowance, Decision, Denial, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, SlidingWindow,
    TokenBucket, UnsupportedAlgorithm, Windows,
};

/// An [`Algorithm`] that is also implemented as a script and makes the same decisions there.
/// Sealed: implemented for all algorithms of this crate.
pub trait RedisAlgorithm: Algorithm + Copy + sealed::Sealed {}

impl<A: Algorithm + Copy + sealed::Sealed> RedisAlgorithm for A {}

/// 14 bytes each, and slightly more than twice as many with leases and debits: below 30 KB.
const MAX_SEGMENTS: u64 = 1_000;
/// 71 years. The sum of twice this time and a current date is below 2⁵³ µs.
const MAX_FILL: u64 = MAX_MICROS / 2;

mod sealed {
    use super::{Decision, Duration, NonZeroU32, Scripts, Time, UnsupportedAlgorithm};

    /// Maximum number of figures in a script's reply.
    pub(in crate::redis) const FIGURES: usize = 4;

    pub trait Sealed: Sized {
        fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm>;

        fn scripts(time: &Time) -> Scripts;

        /// Appends the parameters that the script applies to a cost that fits.
        fn rule(&self, cost: u64, rule: &mut Vec<u64>);

        /// The decision for a cost (zero if it has been charged), from the script's figures.
        fn decision(&self, figures: [u64; FIGURES], cost: u64) -> Decision;

        /// Time that a caller waits before proceeding, if its admission charged `charged`.
        fn delay(&self, _figures: [u64; FIGURES], _charged: u64) -> Duration {
            Duration::ZERO
        }

        /// Maximum lifetime of a lease, in microseconds: an early charge delays a key by at most a
        /// tenth, and with a sliding window by one more segment. Zero if the algorithm does not
        /// support leases.
        fn longest_lease(&self) -> u64;

        /// Maximum time for which a charge counts, in microseconds.
        fn remembers(&self) -> u64;

        /// The same algorithm with one of `instances` equal shares of the limit, at least 1.
        fn share(&self, instances: NonZeroU32) -> Self;
    }
}

pub(super) use sealed::FIGURES;

pub(super) fn of_window(quota: Quota, used: u64, reset_after: u64, retry_after: u64, cost: u64) -> Decision {
    let limit = quota.limit();
    // The usage can exceed the limit after the limit was lowered.
    let remaining = limit.saturating_sub(used);
    let reset_after = if used == 0 { Duration::ZERO } else { Duration::from_micros(reset_after) };
    if cost <= remaining {
        return Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO });
    }
    let retry_after = Duration::from_micros(retry_after);
    Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None })
}

impl sealed::Sealed for FixedWindow {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        Scripts::fixed_window(time)
    }

    fn rule(&self, _cost: u64, rule: &mut Vec<u64>) {
        rule.extend([self.quota().limit(), self.quota().period_micros()]);
    }

    fn decision(&self, [used, next, ..]: [u64; FIGURES], cost: u64) -> Decision {
        of_window(self.quota(), used, next, next, cost)
    }

    fn longest_lease(&self) -> u64 {
        self.quota().period_micros()
    }

    fn remembers(&self) -> u64 {
        self.quota().period_micros()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::new(self.quota().share(instances))
    }
}

impl sealed::Sealed for SlidingWindow {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        let segments = self.quota().period_micros().div_ceil(self.segment_micros());
        if segments > MAX_SEGMENTS {
            return Err(UnsupportedAlgorithm::TooManySegments { segments, max: MAX_SEGMENTS });
        }
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        Scripts::sliding_window(time)
    }

    fn rule(&self, _cost: u64, rule: &mut Vec<u64>) {
        rule.extend([self.quota().limit(), self.quota().period_micros(), self.segment_micros()]);
    }

    fn decision(&self, [used, reset_after, retry_after, _]: [u64; FIGURES], cost: u64) -> Decision {
        of_window(self.quota(), used, reset_after, retry_after, cost)
    }

    fn longest_lease(&self) -> u64 {
        self.quota().period_micros() / 10
    }

    fn remembers(&self) -> u64 {
        self.quota().period_micros() + self.segment_micros()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        self.with_limit_of(self.quota().share(instances))
    }
}

impl sealed::Sealed for SlidingCounter {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        Scripts::sliding_counter(time)
    }

    fn rule(&self, _cost: u64, rule: &mut Vec<u64>) {
        rule.extend([self.quota().limit(), self.quota().period_micros()]);
    }

    fn decision(&self, [used, reset_after, retry_after, _]: [u64; FIGURES], cost: u64) -> Decision {
        of_window(self.quota(), used, reset_after, retry_after, cost)
    }

    fn longest_lease(&self) -> u64 {
        self.quota().period_micros()
    }

    fn remembers(&self) -> u64 {
        2 * self.quota().period_micros()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::new(self.quota().share(instances))
    }
}

/// Uses the figures of the binding window.
impl sealed::Sealed for Windows {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        Scripts::windows(time)
    }

    fn rule(&self, cost: u64, rule: &mut Vec<u64>) {
        rule.push(self.quotas().len() as u64);
        for quota in self.quotas().iter() {
            SlidingWindow::new(*quota).rule(cost, rule);
        }
    }

    fn decision(&self, [binding, used, reset_after, retry_after]: [u64; FIGURES], cost: u64) -> Decision {
        let binding = usize::try_from(binding).ok().and_then(|binding| self.quotas().get(binding).copied());
        of_window(binding.unwrap_or_else(|| self.quota()), used, reset_after, retry_after, cost)
    }

    fn longest_lease(&self) -> u64 {
        self.quotas().iter().map(|quota| SlidingWindow::new(*quota).longest_lease()).min().unwrap_or(0)
    }

    fn remembers(&self) -> u64 {
        self.quotas().iter().map(|quota| SlidingWindow::new(*quota).remembers()).max().unwrap_or(0)
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::new(self.quotas().map(|quota| quota.share(instances)))
    }
}

/// Uses the underlying window, with the same keys.
impl sealed::Sealed for SlidingLog {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        let segments = self.quota().limit().min(self.quota().period_micros());
        if segments > MAX_SEGMENTS {
            return Err(UnsupportedAlgorithm::TooManySegments { segments, max: MAX_SEGMENTS });
        }
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        SlidingWindow::scripts(time)
    }

    fn rule(&self, cost: u64, rule: &mut Vec<u64>) {
        self.window().rule(cost, rule);
    }

    fn decision(&self, figures: [u64; FIGURES], cost: u64) -> Decision {
        self.window().decision(figures, cost)
    }

    fn longest_lease(&self) -> u64 {
        // A log guarantees to admit every cost that fits, but a leased amount may remain unused.
        0
    }

    fn remembers(&self) -> u64 {
        self.window().remembers()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::of_window(self.window().share(instances))
    }
}

/// Uses the underlying token bucket, with the same keys, and the delay of the queue.
impl sealed::Sealed for LeakyBucket {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        self.parts().0.ensure_supported()
    }

    fn scripts(time: &Time) -> Scripts {
        TokenBucket::scripts(time)
    }

    fn rule(&self, cost: u64, rule: &mut Vec<u64>) {
        self.parts().0.rule(cost, rule);
    }

    fn decision(&self, figures: [u64; FIGURES], cost: u64) -> Decision {
        self.parts().0.decision(figures, cost)
    }

    fn delay(&self, [whole, rest, ..]: [u64; FIGURES], charged: u64) -> Duration {
        let (bucket, is_queue) = self.parts();
        if is_queue {
            bucket.span(bucket.until_full_of(whole, rest).saturating_sub(bucket.refill(charged)))
        } else {
            Duration::ZERO
        }
    }

    fn longest_lease(&self) -> u64 {
        // Each place in a queue has its own delay.
        let (bucket, is_queue) = self.parts();
        if is_queue { 0 } else { bucket.longest_lease() }
    }

    fn remembers(&self) -> u64 {
        self.parts().0.remembers()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        self.with_bucket(self.parts().0.share(instances))
    }
}

impl TokenBucket {
    /// Converts the script's whole microseconds and remainder to a duration in `1 / limit` µs.
    fn until_full_of(&self, whole: u64, rest: u64) -> u128 {
        u128::from(whole) * u128::from(self.quota().limit()) + u128::from(rest)
    }

    /// Converts a duration in `1 / limit` µs to the script's whole microseconds and remainder.
    fn pair(&self, span: u128) -> Option<[u64; 2]> {
        let limit = u128::from(self.quota().limit());
        Some([u64::try_from(span / limit).ok()?, u64::try_from(span % limit).ok()?])
    }
}

impl sealed::Sealed for TokenBucket {
    fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm> {
        let [fills_in, _] = self.pair(self.refill(self.capacity())).unwrap_or([u64::MAX, 0]);
        if fills_in >= MAX_FILL {
            let [fills_in, max] = [fills_in, MAX_FILL].map(Duration::from_micros);
            return Err(UnsupportedAlgorithm::TooSlow { fills_in, max });
        }
        Ok(())
    }

    fn scripts(time: &Time) -> Scripts {
        Scripts::token_bucket(time)
    }

    fn rule(&self, cost: u64, rule: &mut Vec<u64>) {
        rule.extend([self.quota().limit(), self.quota().period_micros()]);
        for span in [self.capacity(), cost] {
            // A bucket whose time exceeds 64 bits was refused when the limiter was built.
            let pair = self.pair(self.refill(span)).unwrap_or([u64::MAX; 2]);
            rule.extend(pair);
        }
    }

    fn decision(&self, [whole, rest, ..]: [u64; FIGURES], cost: u64) -> Decision {
        self.decide(self.until_full_of(whole, rest), 0, cost)
    }

    fn longest_lease(&self) -> u64 {
        self.pair(self.refill(self.capacity())).map_or(0, |[fills_in, _]| fills_in / 10)
    }

    fn remembers(&self) -> u64 {
        // Penalties charge up to twice the capacity.
        self.pair(self.refill(self.capacity())).map_or(MAX_MICROS, |[fills_in, _]| 2 * fills_in + 1)
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::new(self.quota().share(instances))
    }
}
