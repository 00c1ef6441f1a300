//! Parsing of addresses and networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Parses a network such as `10.0.0.0/8`, or an address as a network with only that address.
/// IPv4-mapped IPv6 becomes IPv4. Host bits are kept. `None` if `text` is neither.
pub fn network_of(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse().ok().map(canonical),
    }
}

/// Converts a network within the IPv4-mapped addresses to IPv4. Returns other networks unchanged.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(v4), length) if network.addr().is_ipv6() && length >= 96 => {
            IpNet::new(IpAddr::V4(v4), length - 96).unwrap_or(network)
        }
        _ => network,
    }
}
