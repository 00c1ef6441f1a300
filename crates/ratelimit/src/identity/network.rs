//! Addresses and networks as texts name them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that `text` names, such as `10.0.0.0/8`; an address as the network of itself alone. What is IPv4 in IPv6 is
/// IPv4. Bits of the host stay as they are. `None` where it names neither.
pub fn network_of(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse().ok().map(canonical),
    }
}

/// The network, in IPv4 if it is a part of the IPv4-mapped addresses.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(v4), length) if network.addr().is_ipv6() && length >= 96 => {
            IpNet::new(IpAddr::V4(v4), length - 96).unwrap_or(network)
        }
        _ => network,
    }
}
