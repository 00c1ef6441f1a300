//! The states of many tenants.

use std::fmt;

use super::{TenantDecision, TenantState, Tier, TierLimits, WindowUsage};
use crate::algorithm::ensure_fits;
use crate::store::{Standing, Store};
use crate::{CheckError, Clock, LimiterStats, Timestamp};

/// Holds each tenant to the limits given with each check, in memory, one state a tenant.
///
/// Tenants don't share anything but the room: under more tenants than the cap, the least charged is forgotten.
///
/// ```
/// # use tidegate_ratelimit::{ManualClock, TenantLimiter, Tier};
/// let tenants = TenantLimiter::new(ManualClock::default(), 10_000);
/// let limits = Tier::Free.limits();
/// for _ in 0..60 {
///     assert!(tenants.check("t1", &limits, 1)?.allowed);
/// }
/// let refused = tenants.check("t1", &limits, 1)?;
/// assert_eq!((refused.allowed, refused.binding().name), (false, "minute"));
/// // Nothing was charged to the hour, and a change of tier counts at once.
/// assert_eq!(tenants.usage("t1", &limits)[1].used, 60);
/// assert!(tenants.check("t1", &Tier::Premium.limits(), 1)?.allowed);
/// # Ok::<_, tidegate_ratelimit::CheckError>(())
/// ```
pub struct TenantLimiter {
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

impl TenantLimiter {
    /// A limiter of at most `max_keys` tenants, at least one, on `clock`. Hours and days begin at the clock's.
    pub fn new(clock: impl Clock, max_keys: usize) -> Self {
        Self { clock: Box::new(clock), store: Store::new(max_keys) }
    }

    /// Admits and charges `cost` to all windows of `tenant`, or refuses and charges none. Atomic.
    ///
    /// # Errors
    /// [`CheckError`] when `cost` is above one of the limits or the tenant's name above
    /// [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES).
    pub fn check(&self, tenant: &str, limits: &TierLimits, cost: u64) -> Result<TenantDecision, CheckError> {
        let mut shard = self.store.lock(tenant);
        // Read under the lock, so that one tenant sees times in the order of its decisions.
        let now = self.clock.now();
        let standing = |entry: &Entry| entry.standing(now);
        let result = ensure_fits(cost, limits.smallest()).and_then(|()| {
            shard.with(tenant, standing, Entry::default, |entry| {
                let decision = entry.state.check(limits, now, cost)?;
                entry.denied += u64::from(!decision.allowed);
                Ok(decision)
            })?
        });
        shard.count(result, |decision| decision.allowed)
    }

    /// What `tenant` has used of the minute, the hour and the day. Charges nothing.
    pub fn usage(&self, tenant: &str, limits: &TierLimits) -> [WindowUsage; 3] {
        let shard = self.store.lock(tenant);
        let now = self.clock.now();
        match shard.get(tenant) {
            Some(entry) => entry.state.usage(limits, now),
            None => TenantState::default().usage(limits, now),
        }
    }

    /// Forgets all usage of `tenant`. Returns whether there was any to forget.
    pub fn reset(&self, tenant: &str) -> bool {
        self.store.lock(tenant).remove(tenant)
    }

    /// Exact counters since the limiter was built; nothing is ever blocked here.
    pub fn stats(&self) -> LimiterStats {
        self.store.stats(|entry| (entry.denied, false))
    }
}

impl fmt::Debug for TenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLimiter").finish_non_exhaustive()
    }
}
