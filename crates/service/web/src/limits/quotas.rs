//! Changes the quota of a running limiter: on Redis for every node, otherwise for this process.

use tidegate_ratelimit::{PublishError, Quota, QuotaError, SharedQuotas};
use tidegate_settings::MAX_SMALL_LIMIT;

use super::{Limiters, Named};

/// Why a limiter keeps its current quota.
#[derive(Debug)]
pub enum SetQuotaError {
    /// Its algorithm cannot apply that quota.
    Quota(QuotaError),
    /// The other nodes cannot be reached.
    Unavailable,
}

impl Limiters {
    /// Makes the limiters follow the quotas that apply on every node.
    pub(super) fn follow_quotas(&mut self, shared: Option<SharedQuotas>) {
        for named in self.all() {
            if let Some(shared) = &shared {
                shared.register(named.quota_holder());
            }
        }
        self.shared = shared;
    }

    /// Sets another quota, or restores the one from the settings. Earlier charges stay.
    ///
    /// # Errors
    ///
    /// [`SetQuotaError`]. Then the quota is unchanged.
    pub async fn set_quota(&self, named: &Named, quota: Option<Quota>) -> Result<(), SetQuotaError> {
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
