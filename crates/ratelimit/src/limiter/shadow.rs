//! A shadow limit: counts what it would refuse, and refuses nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Limiter;
use crate::stats::LimiterStats;
use crate::{Allowance, CheckError, Decision, Quota, QuotaError, Quotas};

/// A limiter in shadow mode: [`report`](Self::report) returns what it would have refused.
///
/// It has its own states under its own name. Next to an enforced limiter it is charged only for
/// requests that the enforced one admits. Its refusals, blocks and strikes never affect that
/// limiter: decisions, figures and statistics are those of the enforced one. Errors of the shadow
/// are counted and otherwise ignored.
///
/// A check calls both limiters in sequence. A shadow in Redis therefore costs a second round trip.
pub struct Shadow<S> {
    shadow: S,
    enforced: Option<Arc<dyn Limiter>>,
}

impl<S: Limiter> Shadow<S> {
    /// Creates a shadow without an enforced limiter: every request is admitted.
    pub fn new(shadow: S) -> Self {
        Self { shadow, enforced: None }
    }

    /// Creates a shadow next to an enforced limiter.
    pub fn beside(enforced: Arc<dyn Limiter>, shadow: S) -> Self {
        Self { shadow, enforced: Some(enforced) }
    }

    /// Statistics of the shadow: `denied` and `top_denied` are what it would have refused.
    pub fn report(&self) -> LimiterStats {
        self.shadow.stats()
    }

    /// The shadow limiter, for changing only its quota or resetting only its keys.
    pub fn shadow(&self) -> &S {
        &self.shadow
    }

    /// The admission that is returned if no limiter is enforced, whatever the shadow decided.
    fn admitted(&self, said: &Result<Decision, CheckError>) -> Decision {
        match said {
            Ok(allowed @ Decision::Allowed(_)) => *allowed,
            Ok(Decision::Denied(denial)) => {
                let (quota, limit, reset_after) = (denial.quota, denial.limit, denial.reset_after);
                let remaining = denial.remaining;
                Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO })
            }
            Err(_) => Decision::uncounted(self.shadow.quota()),
        }
        .delayed(Duration::ZERO)
    }
}

#[async_trait]
impl<S: Limiter> Limiter for Shadow<S> {
    fn name(&self) -> &str {
        self.enforced.as_ref().map_or_else(|| self.shadow.name(), |enforced| enforced.name())
    }

    fn quota(&self) -> Quota {
        self.enforced.as_ref().map_or_else(|| self.shadow.quota(), Limiter::quota)
    }

    fn quotas(&self) -> Quotas {
        self.enforced.as_ref().map_or_else(|| self.shadow.quotas(), Limiter::quotas)
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        match &self.enforced {
            Some(enforced) => enforced.accepts(quota),
            None => self.shadow.accepts(quota),
        }
    }

    /// Changes the quota of the enforced limiter if there is one, otherwise that of the shadow.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        match &self.enforced {
            Some(enforced) => enforced.set_quota(quota),
            None => self.shadow.set_quota(quota),
        }
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let Some(enforced) = &self.enforced else { return Ok(self.admitted(&self.shadow.check(key, cost).await)) };
        let decision = enforced.check(key, cost).await?;
        if decision.is_allowed() {
            let _ = self.shadow.check(key, cost).await;
        }
        Ok(decision)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match &self.enforced {
            Some(enforced) => enforced.peek(key, cost).await,
            None => Ok(self.admitted(&self.shadow.peek(key, cost).await)),
        }
    }

    /// Charges both limiters.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let said = self.shadow.penalty(key, cost).await;
        match &self.enforced {
            Some(enforced) => enforced.penalty(key, cost).await,
            None => Ok(self.admitted(&said)),
        }
    }

    /// Refunds in both limiters.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let said = self.shadow.reward(key, amount).await;
        match &self.enforced {
            Some(enforced) => enforced.reward(key, amount).await,
            None => Ok(self.admitted(&said)),
        }
    }

    /// Resets the key in both. An error of the shadow is returned only if nothing is enforced.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let known = self.shadow.reset(key).await;
        match &self.enforced {
            Some(enforced) => Ok(enforced.reset(key).await? || known.unwrap_or(false)),
            None => known,
        }
    }

    /// Blocks the key in the enforced limiter. Without one, in the shadow, which refuses nothing.
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        match &self.enforced {
            Some(enforced) => enforced.block(key, duration).await,
            None => self.shadow.block(key, duration).await,
        }
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        match &self.enforced {
            Some(enforced) => enforced.unblock(key).await,
            None => self.shadow.unblock(key).await,
        }
    }

    /// The statistics of the enforced limiter. Without one, every check counts as allowed.
    fn stats(&self) -> LimiterStats {
        match &self.enforced {
            Some(enforced) => enforced.stats(),
            None => {
                let LimiterStats { allowed, denied, failed, alone, tracked_keys, evicted_live, .. } =
                    self.shadow.stats();
                let allowed = allowed + denied + failed;
                LimiterStats { allowed, alone, tracked_keys, evicted_live, ..LimiterStats::default() }
            }
        }
    }
}

impl<S: Limiter> fmt::Debug for Shadow<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("shadow", &self.shadow.name())
            .field("enforced", &self.enforced.as_ref().map(|enforced| enforced.name().to_owned()))
            .finish()
    }
}
