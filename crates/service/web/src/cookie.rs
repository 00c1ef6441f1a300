//! The cookies of requests and responses, and whether a request came over TLS.
//!
//! The sessions of users and of the dashboard set and read their cookies here.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use cookie::SameSite;

/// Maximum number of cookies with one name that are checked. A browser sends one per path. A
/// request with more only tries to use up time.
pub const MOST_COOKIES: usize = 4;

/// Never sent. It is one of the headers because the code that needs it has only those.
const BY_TLS: HeaderName = HeaderName::from_static("tidegate-by-tls");

/// Returns the values of the cookies with that name.
pub fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// Returns the name under which a cookie is set and read. Over TLS it has the prefix with which
/// browsers accept a cookie only from this host. Otherwise another host of the same domain could
/// plant its own session, and see what the user does in it.
pub fn own_name<'a>(name: &'a str, headers: &HeaderMap) -> Cow<'a, str> {
    if came_by_tls(headers) { format!("__Host-{name}").into() } else { name.into() }
}

/// A cookie to set. Scripts cannot read it.
pub struct NewCookie<'a> {
    /// Name without the prefix that TLS adds.
    pub name: &'a str,
    /// Value of characters that a header may hold, without a semicolon.
    pub value: &'a str,
    /// Path to which the browser sends the cookie.
    pub path: &'a str,
    /// Lifetime in the browser. Zero deletes the cookie.
    pub lasts: Duration,
    /// Whether requests from other sites carry the cookie.
    pub same_site: SameSite,
}

impl NewCookie<'_> {
    /// Returns the value of `Set-Cookie` for the answer to a request with these headers. Its
    /// `Debug` output does not show the cookie.
    ///
    /// # Panics
    ///
    /// If the name or the value has characters that a header cannot carry.
    pub fn header(&self, headers: &HeaderMap) -> HeaderValue {
        // A cookie that is bound to this host must have the path `/`.
        let (path, secure) = if came_by_tls(headers) { ("/", "; Secure") } else { (self.path, "") };
        let (name, seconds, site) = (own_name(self.name, headers), self.lasts.as_secs(), self.same_site);
        let value = self.value;
        let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={site}{secure}");
        let mut header = HeaderValue::try_from(text).expect("names and values are of visible characters");
        header.set_sensitive(true);
        header
    }
}

/// Records whether the request came over the server's own TLS, whatever its client claims.
pub fn mark(headers: &mut HeaderMap, by_tls: bool) {
    headers.remove(BY_TLS);
    if by_tls {
        headers.insert(BY_TLS, HeaderValue::from_static("1"));
    }
}

/// Whether the request came over TLS: the server's own, or as the first proxy reports in either
/// header. A client that lies about it only loses its own cookies.
pub fn came_by_tls(headers: &HeaderMap) -> bool {
    if headers.contains_key(BY_TLS) {
        return true;
    }
    let first = |name| headers.get(name).and_then(|value| value.to_str().ok()?.split(',').next());
    let said = first("x-forwarded-proto").map(str::trim);
    let proto = |pair: &str| {
        pair.trim()
            .split_once('=')
            .filter(|(name, _)| name.eq_ignore_ascii_case("proto"))
            .map(|(_, by)| by.trim_matches('"').to_owned())
    };
    let forwarded = first("forwarded").and_then(|hop| hop.split(';').find_map(proto));
    said.or(forwarded.as_deref()).is_some_and(|by| by.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_tls_counts_whatever_the_headers_say() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
        mark(&mut headers, true);
        assert!(came_by_tls(&headers));
        assert_eq!(own_name("a", &headers), "__Host-a");
        // A client that sends the mark itself did not come over TLS.
        mark(&mut headers, false);
        assert!(!came_by_tls(&headers));
    }

    #[test]
    fn what_came_by_tls_is_as_the_first_proxy_says() {
        for (name, value, is_secure) in [
            ("x-forwarded-proto", "https", true),
            ("x-forwarded-proto", "https, http", true),
            ("x-forwarded-proto", "http, https", false),
            ("forwarded", "for=192.0.2.1;Proto=\"https\", for=10.0.0.1;proto=http", true),
            ("forwarded", "for=192.0.2.1", false),
            ("x-other", "https", false),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            assert_eq!(came_by_tls(&headers), is_secure, "{name}: {value}");
        }
    }
}
