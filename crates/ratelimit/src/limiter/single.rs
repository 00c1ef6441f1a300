//! One limit for the whole process, without keys and without a lock.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidegate_clock::Source;

use crate::algorithm::ensure_fits;
use crate::{Allowance, CheckError, Clock, Decision, Denial, Quota, QuotaError};

/// A token bucket without keys, stored in one atomic integer. Use it for calls that a process makes
/// as a whole, for example to another service.
///
/// It decides like a [`TokenBucket`](crate::TokenBucket) with the same quota and burst, up to a
/// rounding error of less than one unit of cost (less than a hundredth of a unit below one million
/// per second). The rounding never refuses a cost that the bucket would admit. The rate itself has
/// no measurable error, because time is counted in units of the quota and not in a rounded
/// interval.
///
/// A check costs one multiplication and one compare-and-exchange, which is repeated if another
/// thread was faster. It never waits. Quotas of whole nanoseconds per unit need no multiplication.
pub struct SingleLimiter<C = Clock> {
    quota: Quota,
    clock: C,
    /// Time of creation, in nanoseconds.
    begun: u64,
    /// Parts per nanosecond, below 1, times 2⁶⁴, rounded up: the upper half of a product with
    /// nanoseconds is the number of parts. Zero if one part is one nanosecond.
    rate: u64,
    /// Parts per unit of cost.
    unit: i64,
    /// Capacity of the bucket, in parts.
    length: i64,
    /// Time at which the bucket will be full, in parts since `begun`. May be negative.
    full_at: AtomicI64,
}

/// Maximum time for which parts are counted: 200 years, in nanoseconds.
const HORIZON: u64 = 200 * 366 * 86_400_000_000_000;
/// Maximum number of parts. A bucket has at most a quarter of it, so that all sums are below 2⁶³.
const MOST: u64 = 1 << 62;
/// A finer resolution would not change a decision.
const MAX_SHIFT: u32 = 40;

impl SingleLimiter {
    /// Applies `quota` with the system clock.
    ///
    /// # Errors
    /// [`QuotaError::TooFast`] if the rate is above [`SingleLimiter::MAX_PER_SECOND`].
    pub fn new(quota: Quota) -> Result<Self, QuotaError> {
        Self::with_clock(quota, Clock::system())
    }
}

impl<C> SingleLimiter<C> {
    /// Maximum rate: 700 million per second.
    pub const MAX_PER_SECOND: u64 = 700_000_000;
}

impl<C: Source> SingleLimiter<C> {
    /// Applies `quota` with `clock`, a type parameter so that the compiler can inline it.
    ///
    /// # Errors
    /// [`QuotaError::TooFast`] if the rate is above [`SingleLimiter::MAX_PER_SECOND`].
    pub fn with_clock(quota: Quota, clock: C) -> Result<Self, QuotaError> {
        let (limit, period) = (u128::from(quota.limit()), u128::from(quota.period_micros()) * 1_000);
        if limit * 1_000_000_000 > u128::from(Self::MAX_PER_SECOND) * period {
            return Err(QuotaError::TooFast { quota: (quota.limit(), quota.period()), max: Self::MAX_PER_SECOND });
        }
        let fits = |shift: &u32| {
            let in_horizon = (limit * u128::from(HORIZON) / period + 1) << shift;
            in_horizon <= u128::from(MOST) && u128::from(quota.burst_size()) << shift <= u128::from(MOST) / 4
        };
        // The maximum rate and the maximum burst fit without a shift.
        let shift = (0..=MAX_SHIFT).rev().find(fits).unwrap_or(0);
        let scaled = || ((limit << shift) << 64).div_ceil(period);
        let in_nanos =
            |unit: &u128| period % limit == 0 && u128::from(quota.burst_size()) * unit <= u128::from(MOST) / 4;
        let (rate, unit) = match Some(period / limit).filter(in_nanos) {
            Some(unit) => (0, unit),
            // Fewer parts than nanoseconds pass, so the rate is below 2⁶⁴.
            None => (scaled(), 1 << shift),
        };
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        // Both are at most `MOST`.
        let [unit, length] =
            [unit, unit * u128::from(quota.burst_size())].map(|parts| i64::try_from(parts).unwrap_or(i64::MAX));
        let begun = nanos(&clock);
        Ok(Self { quota, clock, begun, rate, unit, length, full_at: AtomicI64::new(0) })
    }

    /// The quota that the limiter applies.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Admits and charges `cost`, or refuses and charges nothing. Like [`check`](Self::check), but
    /// without figures. A cost above the burst is never admitted.
    #[inline]
    #[must_use = "what is refused must not be done"]
    pub fn admits(&self, cost: u64) -> bool {
        cost <= self.quota.burst_size() && self.charge(&mut self.parts(), self.parts_of(cost)).is_ok()
    }

    /// Admits and charges `cost`, or refuses and charges nothing.
    ///
    /// # Errors
    /// [`CheckError::CostExceedsLimit`] if `cost` is above the burst.
    pub fn check(&self, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.quota.burst_size())?;
        let mut now = self.parts();
        let cost = self.parts_of(cost);
        Ok(match self.charge(&mut now, cost) {
            Ok(full_at) => self.decision(now, full_at, 0),
            Err(full_at) => self.decision(now, full_at, cost),
        })
    }

    /// The decision that [`check`](Self::check) would return. Charges nothing.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn peek(&self, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.quota.burst_size())?;
        let mut now = self.parts();
        let full_at = self.settled(self.full_at.load(Ordering::Relaxed), &mut now);
        Ok(self.decision(now, full_at, self.parts_of(cost)))
    }

    /// The cost in parts. The cost must not exceed the burst.
    #[inline]
    fn parts_of(&self, cost: u64) -> i64 {
        cost.cast_signed() * self.unit
    }

    /// The current time, in parts since creation.
    #[inline]
    fn parts(&self) -> i64 {
        let nanos = match nanos(&self.clock).checked_sub(self.begun) {
            Some(nanos) if nanos < HORIZON => nanos,
            Some(_) => HORIZON,
            None => return self.parts_before(),
        };
        if self.rate == 0 {
            return nanos.cast_signed();
        }
        let parts = (u128::from(nanos) * u128::from(self.rate)) >> 64;
        i64::try_from(parts).unwrap_or(i64::MAX)
    }

    /// The current time if the clock is before the time of creation.
    // A separate cold function, so that the common path stays short.
    #[cold]
    fn parts_before(&self) -> i64 {
        let nanos = self.begun.saturating_sub(nanos(&self.clock)).min(HORIZON);
        if self.rate == 0 {
            return -nanos.cast_signed();
        }
        let per_period = u128::from(self.quota.limit()) * u128::from(self.unit.cast_unsigned());
        let parts = (u128::from(nanos) * per_period).div_ceil(u128::from(self.quota.period_micros()) * 1_000);
        i64::try_from(parts).map_or(i64::MIN / 2, i64::wrapping_neg)
    }

    /// Time at which the bucket will be full, as of `now`: never before `now`. If the clock was set
    /// back by more than the bucket takes to fill, the bucket counts as just emptied.
    #[inline]
    fn settled(&self, full_at: i64, now: &mut i64) -> i64 {
        if full_at > *now + 2 * self.length { self.behind(full_at, now) } else { full_at.max(*now) }
    }

    /// Either the clock was set back, or other threads have charged since this thread read it. The
    /// clock is read again, after `full_at` was read.
    #[cold]
    fn behind(&self, full_at: i64, now: &mut i64) -> i64 {
        *now = self.parts();
        if full_at > *now + 2 * self.length { *now + self.length } else { full_at.max(*now) }
    }

    /// Time at which the bucket will be full: `Ok` after the charge, `Err` without it. Sets `now`
    /// to the time on which the decision is based.
    #[inline]
    fn charge(&self, now: &mut i64, cost: i64) -> Result<i64, i64> {
        let mut seen = self.full_at.load(Ordering::Relaxed);
        loop {
            let full_at = self.settled(seen, now);
            let fits = full_at + cost <= *now + self.length;
            // A refusal stores nothing, unless the clock was set back: it then fills from now on.
            if !fits && full_at >= seen {
                return Err(full_at);
            }
            let next = if fits { full_at + cost } else { full_at };
            // No other memory is published by this number, so relaxed ordering is sufficient.
            match self.full_at.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return if fits { Ok(next) } else { Err(next) },
                Err(other) => seen = other,
            }
        }
    }

    fn decision(&self, now: i64, full_at: i64, cost: i64) -> Decision {
        let (quota, limit, end) = (self.quota, self.quota.burst_size(), now + self.length);
        let remaining = ((end - full_at).max(0) / self.unit).cast_unsigned();
        let reset_after = self.micros(full_at - now);
        let missing = full_at + cost - end;
        if missing <= 0 {
            return Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO });
        }
        let retry_after = self.micros(missing);
        Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None })
    }

    /// Duration of `parts`, rounded up to a microsecond.
    fn micros(&self, parts: i64) -> Duration {
        let per_micro = u128::from(self.quota.limit()) * u128::from(self.unit.cast_unsigned());
        let micros = (u128::from(parts.cast_unsigned()) * u128::from(self.quota.period_micros())).div_ceil(per_micro);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// Nanoseconds since the origin of `clock`.
#[inline]
fn nanos(clock: &impl Source) -> u64 {
    u64::try_from(clock.now().as_nanos()).unwrap_or(u64::MAX)
}

impl<C> fmt::Debug for SingleLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleLimiter").field("quota", &self.quota).finish_non_exhaustive()
    }
}
