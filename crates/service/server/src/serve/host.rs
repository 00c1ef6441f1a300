//! The host that a request names.

use axum::http::uri::Authority;
use axum::http::{Request, Version, header};

/// A request that names no host, several hosts, or an invalid one. A proxy in front of the server
/// might have chosen another host than the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// The wrong number of `Host` headers.
    #[error("the request has {0} `Host` headers, and needs one")]
    Count(usize),
    /// A `Host` header with anything but a host and an optional port.
    #[error("the request's `Host` header must be a host, and may have a port: `example.com:8080`")]
    Malformed,
}

/// Checks the host of a request. HTTP/1.1 needs exactly one `Host`, other versions at most one. Its
/// value is a host with or without a port (RFC 9112, 3.2).
///
/// # Errors
///
/// [`BadHost`] otherwise.
pub fn one_host<B>(request: &Request<B>) -> Result<(), BadHost> {
    let count = request.headers().get_all(header::HOST).iter().count();
    let is_needed = request.version() == Version::HTTP_11;
    if count > 1 || (count == 0 && is_needed) {
        return Err(BadHost::Count(count));
    }
    let host = request.headers().get(header::HOST);
    let is_host = host.is_none_or(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| is_plain(&host)));
    if is_host { Ok(()) } else { Err(BadHost::Malformed) }
}

/// Whether it names a host without a user, and its port, if any, is valid.
fn is_plain(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port_follows =
        text.strip_prefix(authority.host()).is_some_and(|rest| rest.is_empty() || authority.port_u16().is_some());
    !authority.host().is_empty() && port_follows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_1_1_needs_one_host_and_no_version_may_have_two() {
        for (version, count, is_good) in [
            (Version::HTTP_11, 0, false),
            (Version::HTTP_11, 1, true),
            (Version::HTTP_11, 2, false),
            (Version::HTTP_10, 0, true),
            (Version::HTTP_10, 2, false),
            (Version::HTTP_2, 0, true),
            (Version::HTTP_2, 2, false),
        ] {
            let mut request = Request::new(());
            *request.version_mut() = version;
            (0..count).for_each(|_| {
                request.headers_mut().append(header::HOST, axum::http::HeaderValue::from_static("localhost"));
            });
            assert_eq!(one_host(&request).is_ok(), is_good, "{version:?} with {count}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let check = |host: &'static str| one_host(&Request::get("/").header(header::HOST, host).body(()).unwrap());
        for host in ["localhost", "example.com:8080", "127.0.0.1", "[::1]:80", "[::1]", "EXAMPLE.com.", "a_b.local"] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for host in ["", "a b", "a/b", "user@localhost", "localhost:99999", "localhost:http", ":80", "http://a", "a?b"]
        {
            assert_eq!(check(host), Err(BadHost::Malformed), "{host}");
        }
    }
}
