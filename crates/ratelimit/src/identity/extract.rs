//! Key extractors and combinators.
//!
//! All keys except addresses begin with their kind (`user:`, `x-account:`, `key:`), so that no
//! client can use a key of another kind. [`RequestKey::new`] prevents the text that a function
//! returns from being read as an address.

use std::net::IpAddr;

use compact_str::{CompactString, format_compact};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderName, Request};
use sha2::{Digest, Sha256};

use super::{Ipv6Prefix, KeyExtractor, RequestKey, TrustedProxies, client_address};

/// Maximum length of a header value that is used as a key unchanged, in bytes.
const MAX_VALUE: usize = 256;
/// Maximum length of a secret that is hashed, in bytes. Bounds the work that a client can cause.
const MAX_SECRET: usize = 4_096;

const NO_PEER: &str = "requests carry no peer address, so clients can't be counted and all are refused; with axum, serve \
    the router with `into_make_service_with_connect_info::<SocketAddr>()`";

/// Counts by the client's address, as determined by [`client_address`] behind trusted proxies. IPv6
/// addresses are grouped by a prefix.
///
/// `peer` reads the address of the connection's peer from the request's extensions, where the
/// server stored it:
/// - axum: `|e| e.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())`;
/// - tonic: `|e| e.get::<TcpConnectInfo>()?.remote_addr().map(|peer| peer.ip())`.
///
/// Without that address clients cannot be distinguished, so each request is answered with 500, and
/// the first one is logged as an error. With axum, serve the router with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
#[derive(Clone, Debug)]
pub struct ByAddress<P> {
    peer: P,
    proxies: TrustedProxies,
    prefix: Ipv6Prefix,
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> ByAddress<P> {
    /// Uses the peer's address as the client's. IPv6 addresses are grouped by their /64.
    pub fn new(peer: P) -> Self {
        Self { peer, proxies: TrustedProxies::default(), prefix: Ipv6Prefix::default() }
    }

    /// Trusts the forwarded headers of these proxies.
    #[must_use]
    pub fn behind(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Sets the prefix by which IPv6 addresses are grouped.
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

/// Counts by a text that the server itself added to the request, such as the authenticated user or
/// the route's template.
///
/// Do not use the path as sent: each client would get as many keys as there are paths.
#[derive(Clone, Debug)]
pub struct ByText<F> {
    kind: &'static str,
    find: F,
}

impl<F> ByText<F> {
    /// Counts by user: `user:…`. A request without a user is not counted.
    pub fn user<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "user", find }
    }

    /// Counts by tenant: `tenant:…`. A request without a tenant is not counted.
    pub fn tenant<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "tenant", find }
    }

    /// Counts by route: `route:…`. A request without a route is not counted. For axum `find` is
    /// `|r| r.extensions().get::<MatchedPath>().map(MatchedPath::as_str)`.
    pub fn route<B>(find: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        Self { kind: "route", find }
    }

    /// Counts by account: `account:…`, for example the user name of a login attempt. A request
    /// without an account is not counted.
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

/// Counts by a header that a component in front of this service has checked: `x-account:…`.
///
/// Do not use it if clients can set the header themselves. A request without the header is not
/// counted. A request is refused if it has the header twice, or if the value is longer than 256
/// bytes or is not visible ASCII.
#[derive(Clone, Debug)]
pub struct ByHeader {
    name: HeaderName,
}

impl ByHeader {
    /// Counts by the header `name`.
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

/// Counts by an API key: `key:…`. The limiter sees only 128 bits of its SHA-256, so that no secret
/// appears in a Redis key, in statistics or in a log.
///
/// A request without a key is not counted. A request is refused if it has the header twice or a key
/// longer than 4,096 bytes.
///
/// **The key is not validated: a client that invents keys gets a fresh limit with each one, and a
/// client that omits the key has no limit.** Use it behind a component that validates keys, or also
/// charge a limiter by address, as in the second example of
/// [`RateLimitLayer`](crate::RateLimitLayer). [`Together`] with an address does not help, because a
/// new key gives a new pair.
#[derive(Clone, Debug)]
pub struct ByApiKey {
    header: Option<HeaderName>,
}

impl ByApiKey {
    /// Reads the token of `Authorization: Bearer …`.
    pub const fn bearer() -> Self {
        Self { header: None }
    }

    /// Reads the value of a header such as `X-Api-Key`.
    pub const fn header(name: HeaderName) -> Self {
        Self { header: Some(name) }
    }

    /// The secret in the header's value. `None` if the value has another scheme.
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
        // The component that validates keys may read another value than the first.
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

/// Counts by 128 bits of the SHA-256 of another extractor's key: `hash:…`. For keys that are long
/// or contain sensitive data.
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

/// Counts by a pair such as address and account: `203.0.113.7|account:ada`. Can be nested.
///
/// Different pairs have different keys, whatever the parts contain. An uncounted part is empty, so
/// that no client avoids the limit by omitting one part. It is uncounted only if both are.
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

/// Counts by the first of two extractors that returns a key, for example the user if authenticated,
/// otherwise the address. Nest it for three.
///
/// Use it only if the client cannot choose the first key: `FirstOf(ByApiKey::bearer(), address)`
/// gives a fresh limit to each invented key. Charge two limiters instead.
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

/// `kind` followed by 32 hexadecimal digits.
fn hashed(kind: &str, text: &[u8]) -> CompactString {
    let digest = Sha256::digest(text);
    let mut key = CompactString::with_capacity(kind.len() + 32);
    key.push_str(kind);
    for byte in &digest[..16] {
        for nibble in [byte >> 4, byte & 0xf] {
            // A nibble is always a valid digit.
            key.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    key
}
