//! Another quota for a limiter while it runs: on Redis for every node, in memory for this process until it ends.

use tidegate_app::settings::MAX_SMALL_LIMIT;
use tidegate_ratelimit::{Quota, QuotaError};

use super::{Limiters, Named};

/// Why a limiter keeps the quota that it has.
#[derive(Debug)]
pub(crate) enum SetQuotaError {
    /// Its algorithm can't apply that one.
    Quota(QuotaError),
}

impl Limiters {
    /// Gives a limiter another quota, or that of its settings back; what was charged stays charged.
    ///
    /// # Errors
    ///
    /// [`SetQuotaError`]; then the quota is as it was.
    pub(crate) fn set_quota(&self, named: &Named, quota: Option<Quota>) -> Result<(), SetQuotaError> {
        if let Some(quota) = quota
            && named.algorithm() == "sliding_log"
            && quota.limit() > MAX_SMALL_LIMIT
        {
            let (limit, max) = (quota.limit(), MAX_SMALL_LIMIT);
            return Err(SetQuotaError::Quota(QuotaError::LimitTooLarge { limit, max }));
        }
        let quota = quota.unwrap_or(named.own_quota());
        named.limiter().set_quota(quota).map_err(SetQuotaError::Quota)
    }
}
