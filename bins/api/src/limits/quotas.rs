//! Another quota for a running limiter: on Redis for every node, else for this process.

use tidegate_ratelimit::{PublishError, Quota, QuotaError, SharedQuotas};
use tidegate_settings::MAX_SMALL_LIMIT;

use super::{Limiters, Named};

/// Why a limiter keeps the quota that it has.
#[derive(Debug)]
pub(crate) enum SetQuotaError {
    /// Its algorithm can't apply that one.
    Quota(QuotaError),
    /// The other nodes can't be reached.
    Unavailable,
}

impl Limiters {
    /// Has the limiters follow the quotas that hold on every node.
    pub(super) fn follow_quotas(&mut self, shared: Option<SharedQuotas>) {
        for named in self.all() {
            if let Some(shared) = &shared {
                shared.register(named.quota_holder());
            }
        }
        self.shared = shared;
    }

    /// Gives a limiter another quota, or that of its settings back; what was charged stays charged.
    ///
    /// # Errors
    ///
    /// [`SetQuotaError`]; then the quota is as it was.
    pub(crate) async fn set_quota(&self, named: &Named, quota: Option<Quota>) -> Result<(), SetQuotaError> {
        if let Some(quota) = quota
            && named.algorithm() == "sliding_log"
            && quota.limit() > MAX_SMALL_LIMIT
        {
            let (limit, max) = (quota.limit(), MAX_SMALL_LIMIT);
            return Err(SetQuotaError::Quota(QuotaError::LimitTooLarge { limit, max }));
        }
        let Some(shared) = &self.shared else {
            let quota = quota.unwrap_or(named.own_quota());
            return named.quota_holder().set_quota(quota).map_err(SetQuotaError::Quota);
        };
        let told = match quota {
            Some(quota) => shared.publish(named.name(), quota).await,
            None => shared.withdraw(named.name()).await,
        };
        told.map_err(|error| match error {
            PublishError::Quota(error) => SetQuotaError::Quota(error),
            _ => SetQuotaError::Unavailable,
        })
    }
}
