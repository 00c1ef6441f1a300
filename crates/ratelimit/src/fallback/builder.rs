//! The options of a fallback, for limiters and tenants.

use std::fmt;
use std::time::Duration;

use super::OutagePolicy;
use super::outage::Outage;
use super::patience::DEFAULT_PATIENCE;
use super::shared::SharedLimiter;
use crate::limiter::DEFAULT_MAX_KEYS;
use crate::{Clock, LiveProcesses, RedisTenantLimiter};

/// Builder of a fallback from the Redis limiter `S`; see
/// [`FallbackLimiter::builder`](super::FallbackLimiter::builder) and
/// [`FallbackTenantLimiter::builder`](super::FallbackTenantLimiter::builder).
pub struct FallbackBuilder<S> {
    pub(super) shared: S,
    policy: OutagePolicy,
    patience: Duration,
    pub(super) max_keys: usize,
    live: LiveProcesses,
    clock: Clock,
}

/// Builder of a [`FallbackLimiter`](super::FallbackLimiter).
pub type FallbackLimiterBuilder<A> = FallbackBuilder<SharedLimiter<A>>;

/// Builder of a [`FallbackTenantLimiter`](super::FallbackTenantLimiter).
pub type FallbackTenantLimiterBuilder = FallbackBuilder<RedisTenantLimiter>;

impl<S> FallbackBuilder<S> {
    pub(super) fn new(shared: S) -> Self {
        Self {
            shared,
            policy: OutagePolicy::default(),
            patience: DEFAULT_PATIENCE,
            max_keys: DEFAULT_MAX_KEYS,
            live: LiveProcesses::default(),
            clock: Clock::system(),
        }
    }

    /// Sets the policy for outages; [`OutagePolicy::ALONE`] by default.
    #[must_use]
    pub fn policy(mut self, policy: OutagePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the maximum time to wait for a reply of Redis to a check, a block or a reset; 40 ms by
    /// default. After that the policy decides, also for all other checks, until it is known whether
    /// Redis is available.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the maximum number of keys or tenants in memory; at least one, 100,000 by default.
    /// Holds usage and debts during an outage, otherwise the last replies and blocks. Those without
    /// debts and with the least usage are evicted first, and blocked ones never.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Sets the number of live processes, among which the remaining amount of a key, or of a
    /// tenant's minute, is divided while Redis is slow for a moment, see
    /// [`OutagePolicy::LocalShare`]. Default: 1.
    #[must_use]
    pub fn live_processes(mut self, live: LiveProcesses) -> Self {
        self.live = live;
        self
    }

    clock_setter!(clock);

    pub(super) fn outage(&self) -> Outage {
        Outage::new(self.policy, self.patience, self.live.clone(), self.clock.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for FallbackBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackBuilder")
            .field("shared", &self.shared)
            .field("policy", &self.policy)
            .field("patience", &self.patience)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
