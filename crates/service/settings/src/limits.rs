//! The limiters: how much each admits, and whether it is asked.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_ratelimit::{Ipv6Prefix, Quota};

/// A named limiter: how much, and for how long a key that went over it is refused.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// The rate.
    pub quota: Quota,
    /// The first block of a key that went over; each further strike doubles it. Zero for none.
    pub block: Duration,
    /// Whether it is asked, and obeyed.
    pub mode: LimitMode,
}

/// The greatest limit where charges are remembered one by one, as for logins and reports.
///
/// Above it, the values on Redis become large.
pub const MAX_SMALL_LIMIT: u64 = 1_000;

/// Whether a limiter is asked, and obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitMode {
    /// It refuses.
    On,
    /// It decides and counts, and refuses nothing.
    Shadow,
    /// It isn't asked.
    Off,
}

impl LimitMode {
    /// As in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// Addresses about which a limiter isn't asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// Never counted.
    pub allow: Vec<IpNet>,
    /// Always refused, also where they are allowed.
    pub deny: Vec<IpNet>,
}

/// Every limit.
#[derive(Debug, Clone)]
pub struct LimitsSettings {
    /// The limiter in front of everything but probes, per client address.
    pub ddos: LimitSettings,
    /// Whom that one never counts, and whom it always refuses.
    pub ddos_lists: ListSettings,
    /// Failed logins, per address and account.
    pub auth: LimitSettings,
    /// Reports, per tenant and user.
    pub report: LimitSettings,
    /// Anonymous and per-user requests.
    pub api: LimitSettings,
    /// The tenants' quota, whose figures are the tenants' own.
    pub tenant_mode: LimitMode,
    /// How much of an IPv6 address is one client.
    pub ipv6_prefix: Ipv6Prefix,
    /// Keys a second that one process may bring to Redis for each limiter and that it hasn't seen
    /// before.
    pub new_keys: u64,
    /// Processes that share the limits: in an outage of Redis each admits one such part.
    pub instances: NonZeroU32,
    /// How long a check waits for Redis before this process decides by itself.
    pub patience: Duration,
    /// Whether hot keys of `ddos` and `api` are leased from Redis.
    pub leases: bool,
    /// Interval in which a tenant's requests are counted to find anomalies; zero turns that off.
    pub anomaly_interval: Duration,
}
