//! Implements [`Limiter`] for a dynamic quota.

use std::time::Duration;

use async_trait::async_trait;

use super::DynamicQuota;
use crate::{CheckError, Decision, Limiter, LimiterStats, Quota, QuotaError, Quotas};

/// Delegates to the inner limiter, except for the quota. The quota of this limiter is the
/// [base](DynamicQuota::base), so that a new base does not undo the share, and a new share does not
/// undo the base. Decisions show the quota that applies.
#[async_trait]
impl<L: Limiter + ?Sized> Limiter for DynamicQuota<L> {
    fn name(&self) -> &str {
        self.limiter.name()
    }

    fn quota(&self) -> Quota {
        self.base()
    }

    /// The inner limiter's quotas, with the [base](DynamicQuota::base) of the adjusted one.
    fn quotas(&self) -> Quotas {
        let (quotas, base) = (self.limiter.quotas(), self.base());
        quotas.with(base).unwrap_or_else(|_| base.into())
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.limiter.accepts(self.part_of(quota))
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_base(quota)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.limiter.check(key, cost).await
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.limiter.peek(key, cost).await
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.limiter.penalty(key, cost).await
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.limiter.reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.limiter.reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.limiter.block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.limiter.unblock(key).await
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        self.limiter.known_denial(key, cost)
    }

    fn stats(&self) -> LimiterStats {
        self.limiter.stats()
    }
}
