//! Leaky bucket that drains at the quota's rate, as a meter or as a queue.

use std::time::Duration;

use super::{Algorithm, TokenBucket, TokenBucketState};
use crate::{CheckError, Decision, Quota, QuotaError, Timestamp};

/// A bucket that costs fill and that drains at `limit` per period. A cost that would make it
/// overflow is refused.
///
/// - **As a [meter](Self::meter)** it admits immediately, up to a full bucket. It is equivalent to
///   a [`TokenBucket`]. Bound: at most `burst + limit × t / period` in any time `t`.
/// - **As a [queue](Self::queue)** it admits at the steady rate. Each admission has a
///   [`delay`](crate::Allowance::delay), after which the caller proceeds. Bound: if each cost is
///   one, at most `1 + limit × t / period` callers proceed in any time `t`, with no burst. No delay
///   is longer than `burst × period / limit`. Callers proceed in the order in which they were
///   admitted. A caller that gives up returns its place with [`reward`](crate::Limiter::reward);
///   the delays of later callers do not change. A `RateLimitLayer` does this if the delay exceeds
///   its `max_wait`, ten seconds unless set.
///
/// The quota's burst is the size of the bucket, or the length of the queue. O(1) time, 16 bytes per
/// key, no rounding error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeakyBucket {
    bucket: TokenBucket,
    is_queue: bool,
}

impl LeakyBucket {
    /// Admits immediately, up to a full bucket.
    pub const fn meter(quota: Quota) -> Self {
        Self { bucket: TokenBucket::new(quota), is_queue: false }
    }

    /// Admits at the quota's rate, each cost after its delay.
    pub const fn queue(quota: Quota) -> Self {
        Self { bucket: TokenBucket::new(quota), is_queue: true }
    }

    /// The equivalent token bucket, and whether admissions are delayed.
    #[cfg(feature = "redis")]
    pub(crate) const fn parts(&self) -> (TokenBucket, bool) {
        (self.bucket, self.is_queue)
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn with_bucket(&self, bucket: TokenBucket) -> Self {
        Self { bucket, is_queue: self.is_queue }
    }

    fn delay(&self, state: TokenBucketState, now: Timestamp) -> Duration {
        if self.is_queue { self.bucket.until_full(state, now) } else { Duration::ZERO }
    }
}

impl Algorithm for LeakyBucket {
    type State = TokenBucketState;

    fn name(&self) -> &'static str {
        if self.is_queue { "leaky_queue" } else { "leaky_bucket" }
    }

    fn quota(&self) -> Quota {
        self.bucket.quota()
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        Ok(Self { bucket: self.bucket.with_quota(quota)?, ..*self })
    }

    fn carry_over(&self, before: &Self, state: &mut TokenBucketState, now: Timestamp) {
        self.bucket.carry_over(&before.bucket, state, now);
    }

    fn capacity(&self) -> u64 {
        self.bucket.capacity()
    }

    fn initial(&self, now: Timestamp) -> TokenBucketState {
        self.bucket.initial(now)
    }

    fn check(&self, state: &mut TokenBucketState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        let delay = self.delay(*state, now);
        Ok(self.bucket.check(state, now, cost)?.delayed(delay))
    }

    fn peek(&self, state: &TokenBucketState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        Ok(self.bucket.peek(state, now, cost)?.delayed(self.delay(*state, now)))
    }

    fn penalty(&self, state: &mut TokenBucketState, now: Timestamp, cost: u64) {
        self.bucket.penalty(state, now, cost);
    }

    fn reward(&self, state: &mut TokenBucketState, now: Timestamp, amount: u64) {
        self.bucket.reward(state, now, amount);
    }

    fn charged(&self, state: &TokenBucketState, now: Timestamp) -> u64 {
        self.bucket.charged(state, now)
    }

    fn expires_at(&self, state: &TokenBucketState) -> Timestamp {
        self.bucket.expires_at(state)
    }
}
