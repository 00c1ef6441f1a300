//! Token bucket: the generic cell rate algorithm (GCRA, ITU-T I.371) in exact rational arithmetic.

use std::time::Duration;

use super::{Algorithm, ensure_fits, most_charged};
use crate::{Allowance, CheckError, Decision, Denial, Quota, QuotaError, Timestamp};

/// Refills `limit` per period, continuously, and holds at most `burst`.
///
/// Bound: at most `burst + limit × t / period` in any time `t`. With a burst equal to the limit,
/// some window can therefore admit almost twice the limit. O(1) time, 16 bytes per key.
///
/// The rate has no rounding error. The unit of time is `1 / limit` µs, in which the refill of one
/// unit of cost takes exactly `period` units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    quota: Quota,
}

/// State that [`TokenBucket`] keeps for a key: the time at which the bucket will be full (the
/// theoretical arrival time), in `1 / limit` µs since the epoch.
// Packed, so that it adds no padding to the other fields of a key.
#[repr(Rust, packed(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucketState {
    full_at: u128,
}

impl TokenBucket {
    /// Applies `quota`, including its burst.
    pub const fn new(quota: Quota) -> Self {
        Self { quota }
    }

    /// `now` in `1 / limit` µs. At most 2⁶⁴ × 2⁵³, so sums are far below 2¹²⁸.
    fn scaled(&self, now: Timestamp) -> u128 {
        u128::from(now.as_micros()) * u128::from(self.quota.limit())
    }

    /// Time in which `cost` refills, in `1 / limit` µs.
    pub(crate) fn refill(&self, cost: u64) -> u128 {
        u128::from(cost) * u128::from(self.quota.period_micros())
    }

    /// Time between `from` and `to`, both in `1 / limit` µs, rounded up to a microsecond.
    fn micros(&self, from: u128, to: u128) -> Duration {
        let span = divide(to.saturating_sub(from) + u128::from(self.quota.limit() - 1), self.quota.limit());
        Duration::from_micros(span)
    }

    /// Time at which the bucket will be full, as of `now`: never before `now`.
    fn full_at(&self, state: TokenBucketState, now: u128) -> u128 {
        let length = self.refill(self.capacity());
        if state.full_at > now + 2 * length {
            // Set back by more than the bucket takes to fill: it counts as just emptied.
            return now + length;
        }
        state.full_at.max(now)
    }

    /// Converts a duration in `1 / limit` µs to one that is rounded up to a microsecond.
    #[cfg(feature = "redis")]
    pub(crate) fn span(&self, scaled: u128) -> Duration {
        self.micros(0, scaled)
    }

    pub(super) fn until_full(&self, state: TokenBucketState, now: Timestamp) -> Duration {
        let now = self.scaled(now);
        self.micros(now, self.full_at(state, now))
    }

    /// The decision for `cost` if the bucket is full at `full_at` ≥ `now`, both in `1 / limit` µs.
    pub(crate) fn decide(&self, full_at: u128, now: u128, cost: u64) -> Decision {
        let (quota, limit) = (self.quota, self.capacity());
        let end = now + self.refill(limit);
        let remaining = divide(end.saturating_sub(full_at), quota.period_micros());
        let reset_after = self.micros(now, full_at);
        let after = full_at + self.refill(cost);
        if after <= end {
            Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO })
        } else {
            let retry_after = self.micros(end, after);
            Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None })
        }
    }
}

/// `dividend / divisor`, limited to `u64::MAX`. In 64 bits division is several times faster.
fn divide(dividend: u128, divisor: u64) -> u64 {
    match u64::try_from(dividend) {
        Ok(dividend) => dividend / divisor,
        Err(_) => u64::try_from(dividend / u128::from(divisor)).unwrap_or(u64::MAX),
    }
}

impl Algorithm for TokenBucket {
    type State = TokenBucketState;

    fn name(&self) -> &'static str {
        "token_bucket"
    }

    fn quota(&self) -> Quota {
        self.quota
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        Ok(Self::new(quota))
    }

    /// The missing amount is kept, up to twice the capacity, and refills at the new rate.
    fn carry_over(&self, before: &Self, state: &mut TokenBucketState, now: Timestamp) {
        let old = before.scaled(now);
        let missing = before.full_at(*state, old) - old;
        let [old_period, period] = [before, self].map(|bucket| u128::from(bucket.quota.period_micros()));
        // In two steps, because the product of both would overflow 128 bits.
        let (units, part) = (missing / old_period, missing % old_period);
        let most = u128::from(Quota::MAX_LIMIT);
        let (units, part) = if units < most { (units, part) } else { (most, 0) };
        let carried = units * period + (part * period).div_ceil(old_period);
        state.full_at = self.scaled(now) + carried.min(2 * self.refill(self.capacity()));
    }

    fn capacity(&self) -> u64 {
        self.quota.burst_size()
    }

    fn initial(&self, now: Timestamp) -> TokenBucketState {
        TokenBucketState { full_at: self.scaled(now) }
    }

    fn check(&self, state: &mut TokenBucketState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        let now = self.scaled(now);
        let full_at = self.full_at(*state, now);
        let after = full_at + self.refill(cost);
        // The comparison comes first, so that the figures are divided only once.
        let (kept, asked) = if after <= now + self.refill(self.capacity()) { (after, 0) } else { (full_at, cost) };
        state.full_at = kept;
        Ok(self.decide(kept, now, asked))
    }

    fn peek(&self, state: &TokenBucketState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        let now = self.scaled(now);
        Ok(self.decide(self.full_at(*state, now), now, cost))
    }

    fn penalty(&self, state: &mut TokenBucketState, now: Timestamp, cost: u64) {
        let now = self.scaled(now);
        let most = now + 2 * self.refill(self.capacity());
        let cost = cost.min(most_charged(self.capacity()));
        state.full_at = (self.full_at(*state, now) + self.refill(cost)).min(most);
    }

    fn reward(&self, state: &mut TokenBucketState, now: Timestamp, amount: u64) {
        let now = self.scaled(now);
        let amount = amount.min(most_charged(self.capacity()));
        state.full_at = self.full_at(*state, now).saturating_sub(self.refill(amount)).max(now);
    }

    fn charged(&self, state: &TokenBucketState, now: Timestamp) -> u64 {
        let now = self.scaled(now);
        let missing = self.full_at(*state, now) - now;
        divide(missing + u128::from(self.quota.period_micros() - 1), self.quota.period_micros()).min(self.capacity())
    }

    fn expires_at(&self, state: &TokenBucketState) -> Timestamp {
        Timestamp::from_micros(divide(state.full_at + u128::from(self.quota.limit() - 1), self.quota.limit()))
    }
}
