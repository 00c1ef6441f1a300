//! Identifies clients: the client's address behind trusted proxies.
//!
//! A forwarded header is a list to which each proxy appends the address of its own client. Only the
//! elements that our proxies appended can be trusted. The list is therefore read from the right, as
//! long as the addresses are those of trusted proxies.

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

/// More consecutive proxies than in practice. Bounds the work that a long header can cause.
const MAX_HOPS: usize = 32;

/// The address of the client. It is `peer`, unless that is a trusted proxy. Otherwise it is the
/// rightmost address in `Forwarded` or `X-Forwarded-For` that is not a trusted proxy.
///
/// Ports, brackets and quotes are parsed. IPv4-mapped IPv6 counts as IPv4. Reading stops at the
/// first element that is not an address (`unknown`, `_hidden`, invalid text, unbalanced quotes) and
/// after 32 elements. The result is then the last proxy that was reached, because any client could
/// have written the elements further left.
///
/// With [`ForwardedHeader::Either`], if both headers are present and give different addresses, the
/// result is `peer`: a proxy that maintains one of the headers forwards the client's own text in
/// the other. A client that forges the other header is therefore counted as the proxy, together
/// with all others that do so. [`TrustedProxies::header`] names the header that the proxies
/// maintain, which prevents this.
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

/// Follows the list from the right as long as the addresses are trusted.
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

/// The limiter's key for an address: IPv4 unchanged, IPv6 by its /64 (`2001:db8:1:2::/64`), the
/// smallest network that a subscriber usually gets. [`Ipv6Prefix::key`] uses another prefix.
pub fn key_for(address: IpAddr) -> String {
    Ipv6Prefix::default().key(address)
}

/// Whether a header shows that a proxy forwarded the request: `Forwarded`, `X-Forwarded-*` or
/// `X-Real-IP`. Whatever its value is, the peer may not be the client.
pub fn has_forwarded_header(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == FORWARDED || *name == X_REAL_IP || name.as_str().starts_with("x-forwarded-"))
}
