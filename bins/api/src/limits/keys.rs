//! Under which key an address is counted.

use std::borrow::Cow;
use std::net::IpAddr;

use tidegate_ratelimit::Ipv6Prefix;

/// The key under which `limiter` counts what somebody calls `key`: where it counts by address, an IPv6 address stands for its
/// network, and an IPv4 address in IPv6 for itself. Anything else is a key as it is.
pub(crate) fn counted_as<'a>(limiter: &str, key: &'a str, prefix: Ipv6Prefix) -> Cow<'a, str> {
    let (address, account) = match limiter {
        "ddos" | "api" => (key, ""),
        "auth" => key.split_at(key.find('|').unwrap_or(key.len())),
        _ => return Cow::Borrowed(key),
    };
    match address.parse::<IpAddr>() {
        Ok(address) => Cow::Owned(format!("{}{account}", prefix.key(address))),
        Err(_) => Cow::Borrowed(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_the_key_that_its_requests_count_under() {
        let told = |limiter, key| counted_as(limiter, key, Ipv6Prefix::default()).into_owned();
        for limiter in ["ddos", "api", "auth"] {
            assert_eq!(told(limiter, "2001:db8::7"), "2001:db8::/64", "{limiter}");
            assert_eq!(told(limiter, "::ffff:203.0.113.7"), "203.0.113.7", "{limiter}");
            for key in ["203.0.113.7", "2001:db8::/64", "key:0123456789abcdef", "", "|"] {
                assert_eq!(told(limiter, key), key, "{limiter}");
            }
        }
        assert_eq!(told("auth", "2001:db8::7|operations"), "2001:db8::/64|operations");
        assert_eq!(told("auth", "203.0.113.7|ada|2001:db8::7"), "203.0.113.7|ada|2001:db8::7");
        assert_eq!(told("ddos", "2001:db8::7|ada"), "2001:db8::7|ada");
        for limiter in ["report", "tenant"] {
            assert_eq!(told(limiter, "2001:db8::7"), "2001:db8::7", "{limiter}");
        }
    }
}
