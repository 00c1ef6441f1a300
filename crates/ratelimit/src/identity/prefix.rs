//! The prefix of an IPv6 address that identifies a client.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use compact_str::CompactString;

/// The number of bits of an IPv6 address that identify a client. Default: 64, the smallest network
/// that a subscriber usually gets.
///
/// With a smaller number more neighbours share a key. With a larger number the owner of a network
/// has many keys, and with 128 practically unlimited keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Prefix(u8);

/// The prefix length is not between 1 and 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of {bits} bits is not between 1 and 128")]
pub struct Ipv6PrefixError {
    /// The requested number of bits.
    pub bits: u8,
}

impl Ipv6Prefix {
    /// Creates a prefix of `bits` bits.
    ///
    /// # Errors
    /// [`Ipv6PrefixError`] if `bits` is 0 or above 128.
    pub const fn try_new(bits: u8) -> Result<Self, Ipv6PrefixError> {
        if bits == 0 || bits > 128 { Err(Ipv6PrefixError { bits }) } else { Ok(Self(bits)) }
    }

    /// Number of bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The key of an address: IPv4 (also mapped) as `203.0.113.7`, IPv6 as `2001:db8:1:2::/64`.
    pub fn key(self, address: IpAddr) -> String {
        self.short_key(address).into_string()
    }

    pub(super) fn short_key(self, address: IpAddr) -> CompactString {
        let mut key = CompactString::default();
        // Writing to a string cannot fail.
        let _ = match address.to_canonical() {
            IpAddr::V4(v4) => write!(key, "{v4}"),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << (128 - u32::from(self.0)));
                write!(key, "{}/{}", Ipv6Addr::from_bits(network), self.0)
            }
        };
        key
    }
}

impl Default for Ipv6Prefix {
    fn default() -> Self {
        Self(64)
    }
}
