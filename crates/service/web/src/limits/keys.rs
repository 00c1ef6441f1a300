//! The key under which an address is counted.

use std::borrow::Cow;
use std::net::IpAddr;

use tidegate_ratelimit::Ipv6Prefix;

use crate::problem::Problem;

/// The key under which `limiter` counts `key`. If it counts by address, an IPv6 address and its
/// network stand for that network in any notation, and an IPv4 address in IPv6 for itself.
///
/// # Errors
///
/// 422 if the key is empty, or is no address and the limiter counts addresses only.
pub fn counted_as<'a>(limiter: &str, key: &'a str, prefix: Ipv6Prefix) -> Result<Cow<'a, str>, Problem> {
    if key.is_empty() {
        return Err(Problem::unprocessable("bad-key", "`key` is empty"));
    }
    let (address, account) = match limiter {
        "ddos" | "api" => (key, ""),
        "auth" => key.split_at(key.find('|').unwrap_or(key.len())),
        _ => return Ok(Cow::Borrowed(key)),
    };
    match client(address, prefix) {
        Some(client) => Ok(Cow::Owned(client + account)),
        None if limiter == "ddos" => {
            let bits = prefix.bits();
            let detail = format!(
                "`key`: `ddos` counts addresses: use one such as 203.0.113.7 or 2001:db8::7, or the /{bits} of an IPv6 address"
            );
            Err(Problem::unprocessable("bad-key", detail))
        }
        None => Ok(Cow::Borrowed(key)),
    }
}

/// Returns the client that an address belongs to, or a network that is exactly one client.
fn client(text: &str, prefix: Ipv6Prefix) -> Option<String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let of_client = match (address, address.to_canonical()) {
        (IpAddr::V4(_), _) => 32,
        (_, IpAddr::V4(_)) => 128,
        _ => prefix.bits(),
    };
    bits.is_none_or(|bits| bits == of_client.to_string()).then(|| prefix.key(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_the_key_that_its_requests_count_under() {
        let told = |limiter, key| counted_as(limiter, key, Ipv6Prefix::default()).unwrap().into_owned();
        for limiter in ["ddos", "api", "auth"] {
            for (key, counted) in [
                ("2001:db8::7", "2001:db8::/64"),
                ("2001:db8::/64", "2001:db8::/64"),
                ("2001:DB8:0::7/64", "2001:db8::/64"),
                ("::ffff:203.0.113.7", "203.0.113.7"),
                ("::ffff:203.0.113.7/128", "203.0.113.7"),
                ("203.0.113.7", "203.0.113.7"),
                ("203.0.113.7/32", "203.0.113.7"),
            ] {
                assert_eq!(told(limiter, key), counted, "{limiter}");
            }
        }
        for limiter in ["api", "auth"] {
            for key in ["key:0123456789abcdef", "tenant:acme", "|", "2001:db8::/48"] {
                assert_eq!(told(limiter, key), key, "{limiter}");
            }
        }
        assert_eq!(told("auth", "2001:db8::7|operations"), "2001:db8::/64|operations");
        assert_eq!(told("auth", "203.0.113.7|ada|2001:db8::7"), "203.0.113.7|ada|2001:db8::7");
        for limiter in ["report", "tenant"] {
            assert_eq!(told(limiter, "2001:db8::7"), "2001:db8::7", "{limiter}");
        }
    }

    #[test]
    fn the_front_limiter_refuses_invalid_keys() {
        for key in [
            "203.0.113.0/24",
            " 203.0.113.10",
            "203.0.113.11:443",
            "[2001:db8:1:100::7]",
            "2001:db8:4::/48",
            "2001:db8::7/128",
            "::ffff:203.0.113.7/32",
            "2001:db8::7|ada",
            "203.0.113.7/",
            "mallory",
        ] {
            assert!(counted_as("ddos", key, Ipv6Prefix::default()).is_err(), "{key}");
        }
        for limiter in ["ddos", "api", "auth", "report", "tenant"] {
            assert!(counted_as(limiter, "", Ipv6Prefix::default()).is_err(), "{limiter}");
        }
    }
}
