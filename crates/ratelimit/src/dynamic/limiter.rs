//! Implements [`LimiterDecorator`] for a dynamic quota.

use super::DynamicQuota;
use crate::{Limiter, LimiterDecorator, Quota, QuotaError, Quotas};

/// Only the quota is not that of the inner limiter: the quota of this limiter is the
/// [base](DynamicQuota::base), so that a new base does not undo the share, and a new share does not
/// undo the base. Decisions show the quota that applies.
impl<L: Limiter + ?Sized> LimiterDecorator for DynamicQuota<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.limiter
    }

    fn quota(&self) -> Quota {
        self.base()
    }

    /// The inner limiter's quotas, with the [base](DynamicQuota::base) of the adjusted one.
    fn quotas(&self) -> Quotas {
        let (quotas, base) = (self.inner().quotas(), self.base());
        quotas.with(base).unwrap_or_else(|_| base.into())
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner().accepts(self.part_of(quota))
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_base(quota)
    }
}
