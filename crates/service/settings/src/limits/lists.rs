//! Addresses that a limiter never counts, and addresses that it always refuses.

use ipnet::IpNet;
use tidegate_ratelimit::{Ipv6Prefix, network_of};

use crate::error::SettingsError;
use crate::reader::Reader;

/// Addresses that bypass a limiter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// Never counted.
    pub allow: Vec<IpNet>,
    /// Always refused, even if also in `allow`.
    pub deny: Vec<IpNet>,
}

pub(crate) fn lists(raw: &Reader<'_>, prefix: Ipv6Prefix) -> Result<ListSettings, SettingsError> {
    Ok(ListSettings { allow: allowed(raw, "limits.ddos_allow", prefix)?, deny: networks(raw, "limits.ddos_deny")? })
}

/// Networks that a limiter can distinguish from their neighbours. An entry that is smaller than
/// a client would never match.
fn allowed(raw: &Reader<'_>, key: &'static str, prefix: Ipv6Prefix) -> Result<Vec<IpNet>, SettingsError> {
    let networks = networks(raw, key)?;
    match networks.iter().find(|network| matches!(network, IpNet::V6(v6) if v6.prefix_len() > prefix.bits())) {
        Some(narrow) => {
            let bits = prefix.bits();
            Err(raw.invalid(
                key,
                format!("`{narrow}` is less than one client, which is a /{bits}: see limits.ipv6_prefix"),
            ))
        }
        None => Ok(networks),
    }
}

/// Addresses and networks, separated by commas.
fn networks(raw: &Reader<'_>, key: &'static str) -> Result<Vec<IpNet>, SettingsError> {
    let Some((text, _)) = raw.text(key) else { return Ok(Vec::new()) };
    let wrong = |entry: &str| {
        let shown: String = entry.chars().take(64).collect();
        raw.invalid(key, format!("`{shown}` is neither an address nor a CIDR such as 10.0.0.0/8"))
    };
    let network = |entry| network_of(entry).map(|network| network.trunc()).ok_or_else(|| wrong(entry));
    text.split(',').map(str::trim).map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ground::check_with;

    #[test]
    fn lists_name_addresses_and_networks_and_nobody_is_listed_in_vain() {
        assert_eq!(check_with(&[]).unwrap().limits.ddos_lists, ListSettings::default());
        let variables = [
            ("TIDEGATE_LIMIT_DDOS_ALLOW", "203.0.113.7, 10.1.2.3/8,2001:db8::7/48 , ::ffff:192.0.2.0/120"),
            ("TIDEGATE_LIMIT_DDOS_DENY", "2001:db8::7"),
        ];
        let lists = check_with(&variables).unwrap().limits.ddos_lists;
        let shown = |networks: &[IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&lists.allow), ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/48", "192.0.2.0/24"]);
        assert_eq!(shown(&lists.deny), ["2001:db8::7/128"]);
        for wrong in ["2001:db8::7", "10.0.0.0/33", "10.0.0.0/8,", "localhost"] {
            let error = check_with(&[("TIDEGATE_LIMIT_DDOS_ALLOW", wrong)]).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_LIMIT_DDOS_ALLOW"), "{error}");
        }
        let whole = [("TIDEGATE_LIMIT_DDOS_ALLOW", "2001:db8::7"), ("TIDEGATE_LIMIT_IPV6_PREFIX", "128")];
        assert_eq!(check_with(&whole).unwrap().limits.ddos_lists.allow.len(), 1);
    }
}
