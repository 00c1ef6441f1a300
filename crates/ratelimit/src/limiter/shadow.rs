//! A limit on trial: it counts what it would refuse, and refuses nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Limiter, LimiterStats};
use crate::{Allowance, CheckError, Decision, Quota, QuotaError, Quotas};

/// A limiter that is tried out: [`report`](Self::report) says what it would have refused, and to whom.
///
/// It has its own states, under its own name. Beside an enforced limiter it is charged only for what that one admits, and its
/// refusals, blocks and strikes never reach it: decisions, figures and statistics are the enforced one's. Its errors are
/// counted and otherwise ignored.
///
/// A check asks both, one after the other; a shadow in Redis is a second round trip.
pub struct Shadow<S> {
    shadow: S,
    enforced: Option<Arc<dyn Limiter>>,
}

impl<S: Limiter> Shadow<S> {
    /// A limit on trial where none is enforced yet: everything is admitted.
    pub fn new(shadow: S) -> Self {
        Self { shadow, enforced: None }
    }

    /// A limit on trial beside one that is enforced.
    pub fn beside(enforced: Arc<dyn Limiter>, shadow: S) -> Self {
        Self { shadow, enforced: Some(enforced) }
    }

    /// What it decided: `denied` is what it would have refused, `top_denied` whom.
    pub fn report(&self) -> LimiterStats {
        self.shadow.stats()
    }

    /// The limiter on trial, to change its quota or to reset a key of it alone.
    pub fn shadow(&self) -> &S {
        &self.shadow
    }

    /// What is told where nothing is enforced, whatever the shadow says.
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

    /// Changes the enforced one where there is one, else the shadow.
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

    /// Charges both.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let said = self.shadow.penalty(key, cost).await;
        match &self.enforced {
            Some(enforced) => enforced.penalty(key, cost).await,
            None => Ok(self.admitted(&said)),
        }
    }

    /// Takes back from both.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        let said = self.shadow.reward(key, amount).await;
        match &self.enforced {
            Some(enforced) => enforced.reward(key, amount).await,
            None => Ok(self.admitted(&said)),
        }
    }

    /// Forgets the key in both; an error of the shadow counts only where nothing is enforced.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let known = self.shadow.reset(key).await;
        match &self.enforced {
            Some(enforced) => Ok(enforced.reset(key).await? || known.unwrap_or(false)),
            None => known,
        }
    }

    /// Blocks the key in the enforced one; where there is none, nothing blocks.
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

    /// Those of the enforced one. Where there is none, everything was allowed.
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
