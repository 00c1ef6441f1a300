//! The limiters: how much each one admits, and whether it is active.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_ratelimit::{Ipv6Prefix, Quota};

/// A named limiter: its rate, and how long it blocks a key that exceeded the rate.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// The rate.
    pub quota: Quota,
    /// First block of a key that exceeded the rate. Each further violation doubles it. Zero for
    /// none.
    pub block: Duration,
    /// Whether the limiter is active.
    pub mode: LimitMode,
}

/// Maximum limit of limiters that store each charge, as for logins and reports.
///
/// Above it, the values on Redis become large.
pub const MAX_SMALL_LIMIT: u64 = 1_000;

/// Whether a limiter is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitMode {
    /// It refuses requests.
    On,
    /// It decides and counts, but refuses no request.
    Shadow,
    /// It is not consulted.
    Off,
}

impl LimitMode {
    /// Returns its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// Addresses that bypass a limiter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// Never counted.
    pub allow: Vec<IpNet>,
    /// Always refused, even if also in `allow`.
    pub deny: Vec<IpNet>,
}

/// All limits.
#[derive(Debug, Clone)]
pub struct LimitsSettings {
    /// The limiter in front of all routes except probes, per client address.
    pub ddos: LimitSettings,
    /// Addresses that `ddos` never counts, and addresses that it always refuses.
    pub ddos_lists: ListSettings,
    /// Failed logins, per address and account.
    pub auth: LimitSettings,
    /// Reports, per tenant and user.
    pub report: LimitSettings,
    /// Anonymous and per-user requests.
    pub api: LimitSettings,
    /// The quota per tenant. Its limits are part of each tenant.
    pub tenant_mode: LimitMode,
    /// Length of the IPv6 prefix that counts as one client.
    pub ipv6_prefix: Ipv6Prefix,
    /// Maximum rate per second at which one process may add keys it has not seen before to Redis,
    /// for each limiter.
    pub new_keys: u64,
    /// Number of processes that share the limits. While Redis is unavailable, each process admits
    /// that fraction of a limit.
    pub instances: NonZeroU32,
    /// How long a check waits for Redis before the process decides by itself.
    pub patience: Duration,
    /// Whether hot keys of `ddos` and `api` are leased from Redis.
    pub leases: bool,
    /// Interval at which a tenant's requests are counted to find anomalies. Zero to switch that
    /// off.
    pub anomaly_interval: Duration,
}
