//! How much of an address is one client.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use compact_str::CompactString;

/// The bits of an IPv6 address that tell clients apart; 64 unless set, which is what one subscriber has at least.
///
/// A smaller number puts more neighbours into one key; a greater one gives whoever holds a network many keys, and with
/// 128 practically as many as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Prefix(u8);

/// The prefix is not of 1 to 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of {bits} bits is not between 1 and 128")]
pub struct Ipv6PrefixError {
    /// The bits asked for.
    pub bits: u8,
}

impl Ipv6Prefix {
    /// A prefix of `bits` bits.
    ///
    /// # Errors
    /// [`Ipv6PrefixError`] when that is 0 or above 128.
    pub const fn try_new(bits: u8) -> Result<Self, Ipv6PrefixError> {
        if bits == 0 || bits > 128 { Err(Ipv6PrefixError { bits }) } else { Ok(Self(bits)) }
    }

    /// How many bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The key of an address: IPv4 and IPv4-mapped IPv6 as `203.0.113.7`, IPv6 by its network as `2001:db8:1:2::/64`.
    pub fn key(self, address: IpAddr) -> String {
        self.short_key(address).into_string()
    }

    pub(super) fn short_key(self, address: IpAddr) -> CompactString {
        let mut key = CompactString::default();
        // Writing to a string can't fail.
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
