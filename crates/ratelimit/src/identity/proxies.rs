//! Proxies whose forwarded headers are trusted.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::network_of;

/// The networks of proxies whose forwarded headers are trusted. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ForwardedHeader,
}

/// The header that the trusted proxies maintain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// Either header. If both are present and differ, the request counts as the proxy's own. A
    /// client that forges the header that the proxies do not set therefore shares the proxy's key.
    /// Name the header if you know it.
    #[default]
    Either,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
    /// Only `X-Forwarded-For`.
    XForwardedFor,
}

/// An entry of the list is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {position} of the trusted proxies, {entry:?}, is neither an address nor a CIDR such as 10.0.0.0/8")]
pub struct TrustedProxiesError {
    /// Position of the entry, counted from 1.
    pub position: usize,
    /// Text of the entry, truncated to 64 characters.
    pub entry: String,
}

impl TrustedProxies {
    /// Parses a comma-separated list of addresses and CIDRs. An empty text trusts no proxy.
    ///
    /// # Errors
    /// [`TrustedProxiesError`] with the first entry that is neither.
    pub fn parse(text: &str) -> Result<Self, TrustedProxiesError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let networks = text.split(',').map(str::trim).enumerate().map(|(index, entry)| {
            network_of(entry)
                .ok_or_else(|| TrustedProxiesError { position: index + 1, entry: entry.chars().take(64).collect() })
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, header: ForwardedHeader::Either })
    }

    /// Reads only this header.
    #[must_use]
    pub fn header(self, header: ForwardedHeader) -> Self {
        Self { header, ..self }
    }

    /// Whether `address` is a trusted proxy. IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    pub(super) fn trusted_header(&self) -> ForwardedHeader {
        self.header
    }
}

impl FromStr for TrustedProxies {
    type Err = TrustedProxiesError;

    fn from_str(text: &str) -> Result<Self, TrustedProxiesError> {
        Self::parse(text)
    }
}
