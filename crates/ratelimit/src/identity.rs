//! Who is calling: the client's address behind trusted proxies.
//!
//! A forwarded header is a list to which each proxy appends the address that called *it*. Only what our own
//! proxies appended is true, so the list is read from the right, as far as the addresses are trusted proxies.

mod elements;
mod extract;
mod network;
mod node;
mod prefix;
mod proxies;
mod request_key;

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

pub use extract::{ByAddress, ByApiKey, ByHeader, ByText, FirstOf, Hashed, Together};
pub(crate) use network::canonical;
pub use network::network_of;
pub use prefix::{Ipv6Prefix, Ipv6PrefixError};
pub use proxies::{ForwardedHeader, TrustedProxies, TrustedProxiesError};
pub use request_key::{KeyExtractor, RequestKey};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// More proxies in a row than anybody runs; bounds the work that a long header can cause.
const MAX_HOPS: usize = 32;

/// The address of the client: `peer`, unless that is a trusted proxy; then the rightmost address of `Forwarded`
/// or `X-Forwarded-For` that isn't one.
///
/// Ports, brackets and quotes are understood; IPv4-mapped IPv6 counts as IPv4. Reading stops at the first
/// element that is not an address (`unknown`, `_hidden`, garbage, broken quotes) and at 32 elements, and the
/// last proxy reached is the answer: what stands further left could have been written by anybody.
///
/// With [`ForwardedHeader::Either`] and both headers present the two must agree, or the answer is `peer`: a
/// proxy that maintains one of them passes the client's own text on in the other. So a client that forges the
/// other is counted as the proxy, together with all who do. Naming the header that the proxies maintain, with
/// [`TrustedProxies::header`], leaves nothing to forge.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let forwarded = || walk(peer, headers, &FORWARDED, elements::forwarded_for, trusted);
    let x_forwarded_for = || walk(peer, headers, &X_FORWARDED_FOR, elements::list_item, trusted);
    match trusted.trusted_header() {
        ForwardedHeader::Forwarded => forwarded(),
        ForwardedHeader::XForwardedFor => x_forwarded_for(),
        ForwardedHeader::Either => match (headers.contains_key(FORWARDED), headers.contains_key(&X_FORWARDED_FOR)) {
            (true, true) => {
                let (one, other) = (forwarded(), x_forwarded_for());
                if one == other { one } else { peer }
            }
            (true, false) => forwarded(),
            (false, _) => x_forwarded_for(),
        },
    }
}

/// Follows the list from the right for as long as the addresses are trusted.
fn walk(
    peer: IpAddr,
    headers: &HeaderMap,
    name: &HeaderName,
    address: fn(&str) -> Option<IpAddr>,
    trusted: &TrustedProxies,
) -> IpAddr {
    let mut reached = peer;
    let elements = headers.get_all(name).iter().rev().flat_map(|line| elements::from_right(line.as_bytes()));
    for element in elements.take(MAX_HOPS) {
        let Some(address) = str::from_utf8(element).ok().and_then(address) else { return reached };
        reached = address;
        if !trusted.contains(address) {
            return reached;
        }
    }
    reached
}

/// The limiter's key for an address: IPv4 as it is, IPv6 by its /64 (`2001:db8:1:2::/64`), which is what one
/// subscriber has at least. [`Ipv6Prefix::key`] takes another prefix.
pub fn key_for(address: IpAddr) -> String {
    Ipv6Prefix::default().key(address)
}

/// Whether a header says that a proxy stands between: `Forwarded`, `X-Forwarded-*` or `X-Real-IP`. Whatever
/// they contain, the peer may not be the client.
pub fn has_forwarded_header(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == FORWARDED || *name == X_REAL_IP || name.as_str().starts_with("x-forwarded-"))
}
