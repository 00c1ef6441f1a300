//! Which clients are believed: proxies, tenants without a key, and users who have logged in.

use std::time::Duration;

use tidegate_ratelimit::{ForwardedHeader, TrustedProxies};

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};
use crate::tokens::Tokens;

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "trusted_proxies",
        "TIDEGATE_TRUSTED_PROXIES",
        None,
        "CIDRs, separated by commas, of proxies whose forwarded headers are trusted",
    ),
    setting(
        "forwarded_header",
        "TIDEGATE_FORWARDED_HEADER",
        Some("x-forwarded-for"),
        "header that the trusted proxies set: x-forwarded-for, forwarded, or either",
    ),
    setting(
        "open_tenants",
        "TIDEGATE_OPEN_TENANTS",
        None,
        "`1`: X-Tenant-Id names the tenant without a key; `0`: never; not set: only for direct loopback connections while no token is set",
    ),
    setting(
        "session.ttl",
        "TIDEGATE_SESSION_TTL",
        Some("24h"),
        "how long a user stays logged in; a change applies to sessions that begin later",
    ),
];

/// Which clients may name a tenant with `X-Tenant-Id`, without an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTenants {
    /// None: every application request needs a key.
    Closed,
    /// Only direct loopback connections, for a first trial before any token is set.
    Loopback,
    /// All clients, because the operator enabled that.
    Everyone,
}

pub(crate) fn trusted_proxies(raw: &Reader<'_>) -> Result<TrustedProxies, SettingsError> {
    let proxies = raw.optional("trusted_proxies", "CIDRs such as 10.0.0.0/8, separated by commas", |text| {
        TrustedProxies::parse(text).ok()
    })?;
    let header = raw.required("forwarded_header", "`x-forwarded-for`, `forwarded` or `either`", |text| match text {
        "x-forwarded-for" => Some(ForwardedHeader::XForwardedFor),
        "forwarded" => Some(ForwardedHeader::Forwarded),
        "either" => Some(ForwardedHeader::Either),
        _ => None,
    })?;
    Ok(proxies.unwrap_or_default().header(header))
}

pub(crate) fn open_tenants(raw: &Reader<'_>, tokens: &Tokens) -> Result<OpenTenants, SettingsError> {
    let set = raw.optional("open_tenants", "1 or 0", |text| match text {
        "1" | "true" => Some(OpenTenants::Everyone),
        "0" | "false" => Some(OpenTenants::Closed),
        _ => None,
    })?;
    Ok(set.unwrap_or(if tokens.any() { OpenTenants::Closed } else { OpenTenants::Loopback }))
}

pub(crate) fn session_ttl(raw: &Reader<'_>) -> Result<Duration, SettingsError> {
    raw.duration("session.ttl", Duration::from_secs(60), Duration::from_secs(366 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    #[test]
    fn the_header_of_the_trusted_proxies_is_named() {
        let trusted = |value: &str| {
            check_with(&[("TIDEGATE_TRUSTED_PROXIES", "10.0.0.0/8"), ("TIDEGATE_FORWARDED_HEADER", value)])
                .map(|settings| settings.trusted_proxies)
        };
        let unset = check_with(&[("TIDEGATE_TRUSTED_PROXIES", "10.0.0.0/8")]).unwrap().trusted_proxies;
        assert_eq!(unset, trusted("x-forwarded-for").unwrap());
        let proxies = || TrustedProxies::parse("10.0.0.0/8").unwrap();
        assert_eq!(unset, proxies().header(ForwardedHeader::XForwardedFor));
        assert_eq!(trusted("forwarded").unwrap(), proxies().header(ForwardedHeader::Forwarded));
        assert_eq!(trusted("either").unwrap(), proxies());
        let error = trusted("x-real-ip").unwrap_err().to_string();
        assert!(error.contains("TIDEGATE_FORWARDED_HEADER"), "{error}");
    }
}
