//! Ready-made key extractors, and how they combine.
//!
//! All but an address begin with their kind (`user:`, `x-account:`, `key:`), so that no client can take the key of another
//! kind for its own. What a function makes of a request is kept from being an address by [`RequestKey::new`].

use std::net::IpAddr;

use compact_str::{CompactString, format_compact};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderName, Request};
use sha2::{Digest, Sha256};

use super::{Ipv6Prefix, KeyExtractor, RequestKey, TrustedProxies, client_address};

/// The longest header value that is a key as it stands, in bytes.
const MAX_VALUE: usize = 256;
/// The longest secret that is hashed, in bytes: bounds the work that a client can ask for.
const MAX_SECRET: usize = 4_096;

/// The line of the log for requests without an address.
const NO_PEER: &str = "requests carry no peer address, so clients can't be counted and all are refused; with axum, serve \
    the router with `into_make_service_with_connect_info::<SocketAddr>()`";

/// By the client's address, as [`client_address`] finds it behind trusted proxies; IPv6 by a prefix.
///
/// `peer` finds the address at the other end of the connection among the request's extensions, where the server put it: with
/// axum `|e| e.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())`, with tonic
/// `|e| e.get::<TcpConnectInfo>()?.remote_addr().map(|peer| peer.ip())`.
///
/// Without that address clients can't be distinguished, so each request is answered with 500
/// and the first one is logged as an error. With axum, serve the router with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
#[derive(Clone, Debug)]
pub struct ByAddress<P> {
    peer: P,
    proxies: TrustedProxies,
    prefix: Ipv6Prefix,
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> ByAddress<P> {
    /// Takes the peer's address for the client's, IPv6 by its /64.
    pub fn new(peer: P) -> Self {
        Self { peer, proxies: TrustedProxies::default(), prefix: Ipv6Prefix::default() }
    }

    /// Believes the forwarded headers of these proxies.
    #[must_use]
    pub fn behind(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Counts IPv6 addresses of one such prefix together.
    #[must_use]
    pub fn ipv6_prefix(mut self, prefix: Ipv6Prefix) -> Self {
        self.prefix = prefix;
        self
    }
}

impl<B, P: Fn(&Extensions) -> Option<IpAddr>> KeyExtractor<B> for ByAddress<P> {
    fn key(&self, request: &Request<B>) -> RequestKey {
        match (self.peer)(request.extensions()) {
            Some(peer) => {
                let address = client_address(peer, request.headers(), &self.proxies);
                RequestKey::short(self.prefix.short_key(address))
            }
            None => RequestKey::unavailable(NO_PEER),
        }
    }
}

/// By a text that the server itself has put with the request: who was recognised, or the route's template.
///
/// Never the path as it was sent: that would give each client as many keys as it can think of paths.
#[derive(Clone, Debug)]
pub struct ByText<F> {
    kind: &'static str,
    find: F,
}

impl<F> ByText<F> {
    /// By user: `user:…`. A request of none is not counted.
    pub fn user<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "user", find }
    }

    /// By tenant: `tenant:…`. A request of none is not counted.
    pub fn tenant<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "tenant", find }
    }

    /// By route: `route:…`, with axum `|r| r.extensions().get::<MatchedPath>().map(MatchedPath::as_str)`. A request of none is not
    /// counted.
    pub fn route<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "route", find }
    }

    /// By account: `account:…`, such as the name that somebody tries to log in as. A request of none is not counted.
    pub fn account<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "account", find }
    }
}

impl<B, F: Fn(&Request<B>) -> Option<&str>> KeyExtractor<B> for ByText<F> {
    fn key(&self, request: &Request<B>) -> RequestKey {
        match (self.find)(request) {
            Some(text) if text.len() > MAX_VALUE => RequestKey::bad("the client's identity is too long"),
            Some(text) => RequestKey::short(format_compact!("{}:{text}", self.kind)),
            None => RequestKey::uncounted(),
        }
    }
}

/// By the value of a header that something in front has checked: `x-account:…`.
///
/// Of no use where clients write the header themselves. A request without it is not counted; one that has it twice, or
/// with more than 256 bytes or anything but visible ASCII, is refused.
#[derive(Clone, Debug)]
pub struct ByHeader {
    name: HeaderName,
}

impl ByHeader {
    /// By that header.
    pub const fn new(name: HeaderName) -> Self {
        Self { name }
    }
}

impl<B> KeyExtractor<B> for ByHeader {
    fn key(&self, request: &Request<B>) -> RequestKey {
        let mut values = request.headers().get_all(&self.name).iter();
        let Some(value) = values.next() else { return RequestKey::uncounted() };
        match value.to_str() {
            _ if values.next().is_some() => RequestKey::bad("the client's identity is sent twice"),
            Ok(text) if text.len() <= MAX_VALUE => RequestKey::text(format_compact!("{}:{}", self.name, text.trim())),
            Ok(_) => RequestKey::bad("the client's identity is too long"),
            Err(_) => RequestKey::bad("the client's identity is not visible ASCII"),
        }
    }
}

/// By an API key, of which the limiter sees 128 bits of a SHA-256: `key:…`. So no secret becomes a key in Redis, in
/// statistics or in a log.
///
/// A request without one is not counted; one that has the header twice, or a key longer than 4,096 bytes, is refused.
///
/// **That a key is valid is not checked: who invents keys gets a fresh limit with each, and who leaves the key out none.** Put
/// this behind what checks keys, or charge a limiter by address too, as the second example of
/// [`RateLimitLayer`](crate::RateLimitLayer) does. [`Together`] with an address is no remedy, a new key makes a new pair.
#[derive(Clone, Debug)]
pub struct ByApiKey {
    header: Option<HeaderName>,
}

impl ByApiKey {
    /// The token of `Authorization: Bearer …`.
    pub const fn bearer() -> Self {
        Self { header: None }
    }

    /// The value of a header such as `X-Api-Key`.
    pub const fn header(name: HeaderName) -> Self {
        Self { header: Some(name) }
    }

    /// The secret in the value of the header, where it is one.
    fn secret<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        if self.header.is_some() {
            return Some(value);
        }
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    }
}

impl<B> KeyExtractor<B> for ByApiKey {
    fn key(&self, request: &Request<B>) -> RequestKey {
        let authorization = AUTHORIZATION;
        let mut values = request.headers().get_all(self.header.as_ref().unwrap_or(&authorization)).iter();
        let Some(value) = values.next() else { return RequestKey::uncounted() };
        // What checks keys may read another one than the first.
        if values.next().is_some() {
            return RequestKey::bad("the API key is sent twice");
        }
        match self.secret(value.as_bytes()).map(<[u8]>::trim_ascii) {
            Some(secret) if secret.len() > MAX_SECRET => RequestKey::bad("the API key is too long"),
            Some(secret) => RequestKey::short(hashed("key:", secret)),
            None => RequestKey::uncounted(),
        }
    }
}

/// By 128 bits of a SHA-256 of another extractor's key: `hash:…`. For keys that are long or tell too much.
#[derive(Clone, Debug)]
pub struct Hashed<E>(pub E);

impl<B, E: KeyExtractor<B>> KeyExtractor<B> for Hashed<E> {
    fn key(&self, request: &Request<B>) -> RequestKey {
        let key = self.0.key(request);
        match key.as_str() {
            Some(text) => RequestKey::short(hashed("hash:", text.as_bytes())),
            None => key,
        }
    }
}

/// By two keys together, such as address and account: `203.0.113.7|account:ada`. Nest it for three.
///
/// Different pairs have different keys, whatever the parts contain. A part that is uncounted is empty, so that nobody
/// gets out of being counted by leaving one out; a request is uncounted where both are.
#[derive(Clone, Debug)]
pub struct Together<A, Z>(pub A, pub Z);

impl<B, A: KeyExtractor<B>, Z: KeyExtractor<B>> KeyExtractor<B> for Together<A, Z> {
    fn key(&self, request: &Request<B>) -> RequestKey {
        let (one, other) = (self.0.key(request), self.1.key(request));
        if let Some(refused) = [&one, &other].into_iter().find(|key| key.rejection().is_some()) {
            return refused.clone();
        }
        if one.is_uncounted() && other.is_uncounted() {
            return RequestKey::uncounted();
        }
        let mut joined = CompactString::default();
        escape_into(&mut joined, one.as_str().unwrap_or_default());
        joined.push('|');
        escape_into(&mut joined, other.as_str().unwrap_or_default());
        RequestKey::short(joined)
    }
}

/// By the first of two that has a key, such as the user where one is recognised, else the address. Nest it for three.
///
/// Only where the client can't choose the first: `FirstOf(ByApiKey::bearer(), address)` gives a fresh limit to each key that
/// somebody invents. Charge two limiters instead.
#[derive(Clone, Debug)]
pub struct FirstOf<A, Z>(pub A, pub Z);

impl<B, A: KeyExtractor<B>, Z: KeyExtractor<B>> KeyExtractor<B> for FirstOf<A, Z> {
    fn key(&self, request: &Request<B>) -> RequestKey {
        let first = self.0.key(request);
        if first.is_uncounted() { self.1.key(request) } else { first }
    }
}

fn escape_into(joined: &mut CompactString, part: &str) {
    for character in part.chars() {
        if matches!(character, '|' | '\\') {
            joined.push('\\');
        }
        joined.push(character);
    }
}

/// `kind` and 32 hexadecimal digits.
fn hashed(kind: &str, text: &[u8]) -> CompactString {
    let digest = Sha256::digest(text);
    let mut key = CompactString::with_capacity(kind.len() + 32);
    key.push_str(kind);
    for byte in &digest[..16] {
        for nibble in [byte >> 4, byte & 0xf] {
            // A nibble is always a digit.
            key.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    key
}
