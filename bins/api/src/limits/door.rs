//! A front door with a limiter behind it.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_ratelimit::{CheckError, Decision, FrontDoor, Limiter, LimiterStats, Quota, QuotaError, Quotas};

/// Refuses a flood on this node in memory, and asks the limiter behind, which counts for all nodes, about everything else.
///
/// The door has to be one without blocks: those are the limiter's behind, so that an end of one counts on every node.
pub(super) struct Guarded<L> {
    pub(super) door: FrontDoor,
    pub(super) behind: L,
}

#[async_trait]
impl<L: Limiter> Limiter for Guarded<L> {
    fn name(&self) -> &str {
        self.behind.name()
    }

    fn quota(&self) -> Quota {
        self.behind.quota()
    }

    fn quotas(&self) -> Quotas {
        self.behind.quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.behind.accepts(quota)?;
        self.door.accepts(quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.behind.set_quota(quota)?;
        self.door.set_quota(quota)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.door.check_now(key, cost) {
            Ok(denied @ Decision::Denied(_)) => Ok(denied),
            // What the door can't count is for the limiter behind to say.
            Ok(Decision::Allowed(_)) | Err(_) => self.behind.check(key, cost).await,
        }
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.door.peek(key, cost).await {
            Ok(denied @ Decision::Denied(_)) => Ok(denied),
            Ok(Decision::Allowed(_)) | Err(_) => self.behind.peek(key, cost).await,
        }
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.behind.penalty(key, cost).await
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.behind.reward(key, amount).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let here = self.door.reset(key).await?;
        Ok(self.behind.reset(key).await? || here)
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.behind.block(key, duration).await
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.behind.unblock(key).await
    }

    /// Those of the limiter behind, with what the door alone refused.
    fn stats(&self) -> LimiterStats {
        let mut stats = self.behind.stats();
        stats.denied += self.door.stats().denied;
        stats
    }
}
