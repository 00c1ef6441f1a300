//! The tenants of one process.

use std::fmt;

use async_trait::async_trait;

use super::{TenantDecision, TenantLimiter, TenantState, Tier, TierLimits, WindowUsage};
use crate::algorithm::ensure_fits;
use crate::store::{Standing, Store};
use crate::{CheckError, Clock, LimiterStats, MAX_KEY_BYTES, Timestamp};

/// A [`TenantLimiter`] that keeps one state a tenant in memory.
///
/// Tenants don't share anything but the room: under more tenants than the cap, the least charged is forgotten.
///
/// ```
/// # use tidegate_ratelimit::{ManualClock, MemoryTenantLimiter, TenantLimiter, Tier};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tidegate_ratelimit::CheckError> {
/// let tenants = MemoryTenantLimiter::new(ManualClock::default(), 10_000);
/// let limits = Tier::Free.limits();
/// for _ in 0..60 {
///     assert!(tenants.check("t1", &limits, 1).await?.allowed);
/// }
/// let refused = tenants.check("t1", &limits, 1).await?;
/// assert_eq!((refused.allowed, refused.binding().name), (false, "minute"));
/// // Nothing was charged to the hour, and a change of tier counts at once.
/// assert_eq!(tenants.usage("t1", &limits).await?[1].used, 60);
/// assert!(tenants.check("t1", &Tier::Premium.limits(), 1).await?.allowed);
/// # Ok(())
/// # }
/// ```
pub struct MemoryTenantLimiter {
    clock: Box<dyn Clock>,
    store: Store<Entry>,
}

#[derive(Default)]
struct Entry {
    state: TenantState,
    denied: u64,
}

/// When the windows of a state end and how much is in use doesn't depend on the limits, so any will do.
const ANY_LIMITS: TierLimits = Tier::Free.limits();

impl Entry {
    fn standing(&self, now: Timestamp) -> Standing {
        if self.state.expires_at(&ANY_LIMITS) <= now {
            return Standing::Expired;
        }
        Standing::Live(0, self.state.charged(&ANY_LIMITS, now))
    }
}

impl MemoryTenantLimiter {
    /// A limiter of at most `max_keys` tenants, at least one, on `clock`. Hours and days begin at the clock's.
    pub fn new(clock: impl Clock, max_keys: usize) -> Self {
        Self { clock: Box::new(clock), store: Store::new(max_keys) }
    }
}

#[async_trait]
impl TenantLimiter for MemoryTenantLimiter {
    async fn check(&self, tenant: &str, limits: &TierLimits, cost: u64) -> Result<TenantDecision, CheckError> {
        let mut place = self.store.lock(tenant);
        // Read under the lock, so that one tenant sees times in the order of its decisions.
        let now = self.clock.now();
        let standing = |entry: &Entry| entry.standing(now);
        let result = ensure_fits(cost, limits.smallest()).and_then(|()| {
            place.with(standing, Entry::default, |entry| {
                let decision = entry.state.check(limits, now, cost)?;
                entry.denied += u64::from(!decision.allowed);
                Ok(decision)
            })?
        });
        place.count(result, |decision| decision.allowed)
    }

    async fn usage(&self, tenant: &str, limits: &TierLimits) -> Result<[WindowUsage; 3], CheckError> {
        if tenant.len() > MAX_KEY_BYTES {
            return Err(CheckError::KeyTooLong { length: tenant.len(), max: MAX_KEY_BYTES });
        }
        let place = self.store.lock(tenant);
        let now = self.clock.now();
        Ok(match place.get() {
            Some(entry) => entry.state.usage(limits, now),
            None => TenantState::default().usage(limits, now),
        })
    }

    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        Ok(self.store.lock(tenant).remove())
    }

    fn stats(&self) -> LimiterStats {
        self.store.stats(|entry| (entry.denied, false))
    }
}

impl fmt::Debug for MemoryTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTenantLimiter").finish_non_exhaustive()
    }
}
