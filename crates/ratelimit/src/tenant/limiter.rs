//! Many tenants, each with limits of its own.

use async_trait::async_trait;

use super::{TenantDecision, TierLimits, WindowUsage};
use crate::{CheckError, LimiterStats};

/// Holds each tenant to the limits given with each check. Object safe.
///
/// Every decision is atomic, over all windows at once: simultaneous checks of one tenant admit exactly what one after the
/// other would.
#[async_trait]
pub trait TenantLimiter: Send + Sync {
    /// Admits and charges `cost` to all windows of `tenant`, or refuses and charges none.
    ///
    /// # Errors
    /// [`CheckError`] when `cost` is above one of the limits, the tenant's name above
    /// [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), or the store can't be asked.
    async fn check(&self, tenant: &str, limits: &TierLimits, cost: u64) -> Result<TenantDecision, CheckError>;

    /// What `tenant` has used of the minute, the hour and the day. Charges nothing.
    ///
    /// # Errors
    /// [`CheckError`] when the tenant's name is too long or the store can't be asked.
    async fn usage(&self, tenant: &str, limits: &TierLimits) -> Result<[WindowUsage; 3], CheckError>;

    /// Forgets all usage of `tenant`. Returns whether there was any to forget.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError>;

    /// Exact counters of this process since the limiter was built; no tenant is ever blocked.
    fn stats(&self) -> LimiterStats;
}
