//! What an algorithm needs to be decided by a script.

use std::num::NonZeroU32;
use std::time::Duration;

use super::MAX_MICROS;
use super::scripts::{Scripts, Time};
use crate::{
    Algorithm, Allowance, Decision, Denial, FixedWindow, LeakyBucket, Quota, SlidingCounter, SlidingLog, SlidingWindow,
    TokenBucket, Windows,
};

/// An [`Algorithm`] that exists as a script too and decides there exactly as here. Sealed: all
/// algorithms of this crate.
pub trait RedisAlgorithm: Algorithm + Copy + sealed::Sealed {}

impl<A: Algorithm + Copy + sealed::Sealed> RedisAlgorithm for A {}

/// The algorithm is right but can't be decided in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsupportedAlgorithm {
    /// A window of so many segments would be a large value, and slow every check.
    #[error("a sliding window of {segments} segments is above {max}")]
    TooManySegments {
        /// The segments of the window.
        segments: u64,
        /// The most that a key may have.
        max: u64,
    },
    /// The empty bucket needs so long to fill that a date in microseconds would not be exact.
    #[error("a token bucket that fills in {fills_in:?} is above {max:?}")]
    TooSlow {
        /// How long the empty bucket needs.
        fills_in: Duration,
        /// The longest that is exact.
        max: Duration,
    },
}

/// Segments of 14 bytes, with leases and debits a little more than twice as many, so a value stays below 30 KB.
const MAX_SEGMENTS: u64 = 1_000;
/// 71 years; twice of it and a date of our age stay below 2⁵³ µs.
const MAX_FILL: u64 = MAX_MICROS / 2;

mod sealed {
    use super::{Decision, Duration, NonZeroU32, Scripts, Time, UnsupportedAlgorithm};

    /// How many figures a script answers at most.
    pub(in crate::redis) const FIGURES: usize = 4;

    pub trait Sealed: Sized {
        fn ensure_supported(&self) -> Result<(), UnsupportedAlgorithm>;

        fn scripts(time: &Time) -> Scripts;

        /// Appends the numbers of the rule that the script applies to a cost that fits.
        fn rule(&self, cost: u64, rule: &mut Vec<u64>);

        /// The decision over a cost, zero where it has been charged, from what the script says of the state.
        fn decision(&self, figures: [u64; FIGURES], cost: u64) -> Decision;

        /// How long who was admitted waits before going ahead, where `charged` was charged by it.
        fn delay(&self, _figures: [u64; FIGURES], _charged: u64) -> Duration {
            Duration::ZERO
        }

        /// The longest life of a lease in microseconds, where charging it early costs a key no more than a tenth, and
        /// under a sliding window a segment more; zero where it can't be leased.
        fn longest_lease(&self) -> u64;

        /// How long a charge counts at most, in microseconds.
        fn remembers(&self) -> u64;

        /// The same with one of `instances` equal parts of the limit, at least one.
        fn share(&self, instances: NonZeroU32) -> Self;
    }
}

pub(super) use sealed::FIGURES;

/// The decision of a window from what is used of it.
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

/// The binding window and its figures.
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

/// Its window, over the same keys: a log is one with the shortest segments.
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
        // It promises to admit whatever fits, and what is leased may be left over.
        0
    }

    fn remembers(&self) -> u64 {
        self.window().remembers()
    }

    fn share(&self, instances: NonZeroU32) -> Self {
        Self::of_window(self.window().share(instances))
    }
}

/// Its token bucket, over the same keys, and the delay that the queue gives.
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
        // Each place of a queue has a delay of its own.
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
    /// The span that the script counts in whole microseconds and the rest, in `1 / limit` µs.
    fn until_full_of(&self, whole: u64, rest: u64) -> u128 {
        u128::from(whole) * u128::from(self.quota().limit()) + u128::from(rest)
    }

    /// A span of `1 / limit` µs as the script counts it: whole microseconds and the rest.
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
            // A bucket that takes longer than 64 bits was refused when the limiter was built.
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
