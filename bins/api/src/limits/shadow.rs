//! A limiter that is watched and not obeyed.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_ratelimit::{Allowance, CheckError, Decision, Limiter, LimiterStats, Quota, QuotaError};

/// Decides and counts as the limiter behind it does, and lets everything through.
pub(super) struct Shadow<L>(pub(super) L);

fn let_through(decision: Decision) -> Decision {
    match decision {
        Decision::Denied(denial) => Decision::Allowed(Allowance {
            quota: denial.quota,
            limit: denial.limit,
            remaining: denial.remaining,
            reset_after: denial.reset_after,
            delay: Duration::ZERO,
        }),
        allowed => allowed,
    }
}

#[async_trait]
impl<L: Limiter> Limiter for Shadow<L> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn quota(&self) -> Quota {
        self.0.quota()
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.0.set_quota(quota)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.0.check(key, cost).await.map(let_through)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.0.peek(key, cost).await.map(let_through)
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.0.penalty(key, cost).await.map(let_through)
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.0.reward(key, amount).await.map(let_through)
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.0.reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.0.block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.0.unblock(key).await
    }

    fn stats(&self) -> LimiterStats {
        self.0.stats()
    }
}
