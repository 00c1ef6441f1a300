//! The limiters: how much each one admits, and whether it is active.

pub(crate) mod lists;

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate_ratelimit::{Ipv6Prefix, Quota};

use self::lists::ListSettings;
use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "limits.ddos",
        "TIDEGATE_LIMIT_DDOS",
        Some("1000/second, block=10s, mode=on"),
        "limit on requests per client address; block: the first block of an address that exceeds it, 0s for none; mode `on`: refuses requests, `shadow`: only counts, `off`: not consulted",
    ),
    setting(
        "limits.auth",
        "TIDEGATE_LIMIT_AUTH",
        Some("5/minute, block=15m, mode=on"),
        "limit on failed logins from one address to one account, at most 1000; options as for limits.ddos",
    ),
    setting(
        "limits.report",
        "TIDEGATE_LIMIT_REPORT",
        Some("10/hour, block=5m, mode=on"),
        "exports and reports per user, at most 1000; options as for limits.ddos",
    ),
    setting(
        "limits.api",
        "TIDEGATE_LIMIT_API",
        Some("100/minute, block=1m, mode=on"),
        "limit on anonymous and per-user requests; options as for limits.ddos",
    ),
    setting(
        "limits.ddos_allow",
        "TIDEGATE_LIMIT_DDOS_ALLOW",
        None,
        "addresses and CIDRs, separated by commas, that limits.ddos never counts",
    ),
    setting(
        "limits.ddos_deny",
        "TIDEGATE_LIMIT_DDOS_DENY",
        None,
        "addresses and CIDRs, separated by commas, that are always refused, even if also in limits.ddos_allow",
    ),
    setting(
        "limits.tenant_mode",
        "TIDEGATE_LIMIT_TENANT_MODE",
        Some("on"),
        "mode of the limits of tenants, as for limits.ddos",
    ),
    setting(
        "limits.ipv6_prefix",
        "TIDEGATE_LIMIT_IPV6_PREFIX",
        Some("64"),
        "length of the IPv6 prefix that counts as one client",
    ),
    setting(
        "limits.instances",
        "TIDEGATE_LIMIT_INSTANCES",
        Some("1"),
        "number of processes that share the limits; while Redis is unavailable each admits that fraction of a limit",
    ),
    setting(
        "limits.patience",
        "TIDEGATE_LIMIT_PATIENCE",
        Some("40ms"),
        "how long a limit check waits for Redis before the process decides by itself; at most redis.request_timeout",
    ),
    setting(
        "limits.anomaly_interval",
        "TIDEGATE_LIMIT_ANOMALY_INTERVAL",
        Some("10s"),
        "interval at which a tenant's requests are counted to flag a rate far above its usual one; 0s: off",
    ),
    setting(
        "limits.redis",
        "TIDEGATE_LIMIT_REDIS",
        Some("new_keys=10000, leases=off"),
        "maximum number of new keys per second that one process adds to Redis, for each limiter; leases=on: the limiters ddos and api lease a part of a busy key's limit from Redis, and admit it without a Redis command per request",
    ),
];

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

pub(crate) fn limits(raw: &Reader<'_>) -> Result<LimitsSettings, SettingsError> {
    let ipv6_prefix = raw.required("limits.ipv6_prefix", "a whole number from 1 to 128", |text| {
        text.parse().ok().and_then(|bits| Ipv6Prefix::try_new(bits).ok())
    })?;
    let redis = raw.options("limits.redis")?;
    Ok(LimitsSettings {
        ddos_lists: lists::lists(raw, ipv6_prefix)?,
        ddos: limit(raw, "limits.ddos")?,
        auth: small_limit(raw, "limits.auth")?,
        report: small_limit(raw, "limits.report")?,
        api: limit(raw, "limits.api")?,
        tenant_mode: mode(raw, "limits.tenant_mode")?,
        ipv6_prefix,
        new_keys: redis.count("new_keys", 1..=1_000_000_000)?,
        instances: raw.required("limits.instances", "a whole number from 1", |text| text.parse().ok())?,
        patience: raw.duration("limits.patience", Duration::from_millis(1), Duration::from_secs(60))?,
        leases: redis.switch("leases")?,
        anomaly_interval: raw.duration("limits.anomaly_interval", Duration::ZERO, Duration::from_secs(3600))?,
    })
}

fn limit(raw: &Reader<'_>, key: &'static str) -> Result<LimitSettings, SettingsError> {
    let options = raw.options(key)?;
    let text = options.required("", "a rate such as 100/minute", |text| Some(text.to_owned()))?;
    // No limiter of the API has a burst.
    let parsed = text.parse::<Quota>().and_then(|parsed| parsed.ensure_no_burst().map(|()| parsed));
    Ok(LimitSettings {
        quota: parsed.map_err(|error| options.invalid("", format!("`{text}`: {error}")))?,
        block: options.duration("block", Duration::ZERO, Duration::from_secs(24 * 3600))?,
        mode: mode(&options, "mode")?,
    })
}

/// A limit whose charges are stored one by one.
fn small_limit(raw: &Reader<'_>, key: &'static str) -> Result<LimitSettings, SettingsError> {
    let settings = limit(raw, key)?;
    if settings.quota.limit() > MAX_SMALL_LIMIT {
        return Err(raw.invalid(key, format!("`{}` is above {MAX_SMALL_LIMIT}", settings.quota)));
    }
    Ok(settings)
}

fn mode(raw: &Reader<'_>, key: &'static str) -> Result<LimitMode, SettingsError> {
    raw.required(key, "`on`, `shadow` or `off`", |text| {
        [LimitMode::On, LimitMode::Shadow, LimitMode::Off].into_iter().find(|mode| mode.name() == text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    #[test]
    fn each_limit_can_be_changed_watched_and_switched_off() {
        let limits = check_with(&[]).unwrap().limits;
        assert_eq!(limits.auth.quota.to_string(), "5/minute");
        assert_eq!((limits.auth.block, limits.report.block), (Duration::from_secs(900), Duration::from_secs(300)));
        assert_eq!((limits.report.quota.to_string().as_str(), limits.ipv6_prefix.bits()), ("10/hour", 64));
        let changed = [
            ("TIDEGATE_LIMIT_AUTH", "1000/day, block=0s"),
            ("TIDEGATE_LIMIT_DDOS", "mode=shadow"),
            ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
            ("TIDEGATE_LIMIT_IPV6_PREFIX", "48"),
        ];
        let limits = check_with(&changed).unwrap().limits;
        assert_eq!((limits.auth.quota.to_string().as_str(), limits.auth.block), ("1000/day", Duration::ZERO));
        assert_eq!((limits.ddos.mode, limits.api.mode), (LimitMode::Shadow, LimitMode::On));
        assert_eq!((limits.tenant_mode, limits.ipv6_prefix.bits()), (LimitMode::Off, 48));
        for (variable, value) in [
            ("TIDEGATE_LIMIT_AUTH", "1001/day"),
            ("TIDEGATE_LIMIT_API", "block=25h"),
            ("TIDEGATE_LIMIT_IPV6_PREFIX", "0"),
        ] {
            let error = check_with(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable), "{error}");
        }
    }
}
