//! The other end of a connection: its address, and whether it is a program on this machine.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, Uri, header};
use tidegate_ratelimit::has_forwarded_header;
use tidegate_settings::Settings;

/// The address at the other end of the connection.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// A request without a peer address: a fault of the server that accepted it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the request carries no peer address: serve the router with `into_make_service_with_connect_info::<SocketAddr>()`"
)]
pub struct NoPeer;

/// The authority in a request's target, if the target is in absolute form.
#[derive(Debug, Clone)]
pub struct Target(pub Authority);

/// Whether the client runs on this machine and is not a proxy.
///
/// A proxy on this machine would make every client look local, so a forwarded header or a trusted
/// proxy rules that out. Another site's page may make a local browser send requests here, so `Host`
/// and `Origin` must be local.
pub fn is_direct_loopback(settings: &Settings, extensions: &Extensions, headers: &HeaderMap) -> bool {
    settings.listen.ip().is_loopback()
        && peer(extensions).is_some_and(|address| address.is_loopback())
        && settings.trusted_proxies.is_empty()
        && !has_forwarded_header(headers)
        && !headers.contains_key(header::VIA)
        && names_this_machine(extensions, headers)
        && headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
        && headers.get(header::ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(is_local_origin))
}

/// Whether the request names its host, and every such name is this machine. HTTP/1.0 needs no
/// `Host`, and a target in absolute form overrides it.
fn names_this_machine(extensions: &Extensions, headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let target = extensions.get::<Target>().map(|Target(authority)| authority.as_str());
    let mut named = hosts.chain(target).peekable();
    named.peek().is_some() && named.all(is_local_authority)
}

fn is_local_origin(origin: &str) -> bool {
    origin
        .parse::<Uri>()
        .is_ok_and(|uri| uri.authority().is_some_and(|authority| is_local_authority(authority.as_str())))
}

fn is_local_authority(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn local_hosts_are_distinguished_from_similar_names() {
        for local in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert!(is_local_authority(local), "{local}");
        }
        for foreign in
            ["localhost.evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]:80", "10.0.0.1"]
        {
            assert!(!is_local_authority(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_request_that_says_for_whom_it_is_nowhere_is_not_local() {
        let named = |hosts: &[&'static str], target: Option<&'static str>| {
            let headers = hosts.iter().map(|host| (header::HOST, HeaderValue::from_static(host))).collect();
            let mut extensions = Extensions::new();
            if let Some(target) = target {
                extensions.insert(Target(Authority::from_static(target)));
            }
            names_this_machine(&extensions, &headers)
        };
        assert!(
            named(&["localhost"], None) && named(&[], Some("127.0.0.1:80")) && named(&["[::1]"], Some("localhost"))
        );
        assert!(!named(&[], None));
        assert!(!named(&["localhost"], Some("evil.example")) && !named(&["evil.example"], Some("localhost")));
        assert!(!named(&["localhost", "evil.example"], None) && !named(&[], Some("localhost@evil.example")));
    }

    #[test]
    fn a_null_or_foreign_origin_is_not_local() {
        assert!(is_local_origin("http://localhost:8080"));
        assert!(!is_local_origin("null"));
        assert!(!is_local_origin("https://evil.example"));
    }
}
