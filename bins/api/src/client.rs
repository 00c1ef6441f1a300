//! Who is at the other end: the client's address, as far as it can be believed, and whom it asks.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use tidegate_app::serve::ByTls;
use tidegate_ratelimit::client_address;

use crate::access;
use crate::app::App;
use crate::around::{Behind, answered};
use crate::cookie;
use crate::problem::Problem;

/// The key under which a client's requests are counted: its address, an IPv6 one by its prefix.
#[derive(Debug, Clone)]
pub(crate) struct ClientKey(pub String);

/// Layer that finds the client's address behind trusted proxies, and keeps whom the request's target names and whether it came by
/// our own TLS. A request of HTTP/1.1 without a `Host`, or any with two, is refused (RFC 9112, 3.2): a proxy in front may have gone by
/// another.
pub(crate) fn layer<S: Behind>(
    app: App,
    mut request: Request,
    behind: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let begun = look(app, &mut request).map(|()| answered(behind.call(request)));
    async move { Ok(begun?.await) }
}

fn look(app: App, request: &mut Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::bad_request("bad-host", format!("the request has {hosts} `Host` headers, and needs one")));
    }
    let by_tls = request.extensions().get::<ByTls>().is_some();
    cookie::mark(request.headers_mut(), by_tls);
    // Only a server that was started without connection info has no peer: its own tests.
    let peer = access::peer(request.extensions()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = client_address(peer, request.headers(), &app.settings().trusted_proxies);
    if let Some(authority) = request.uri().authority().cloned() {
        // Whom a request of HTTP/2 asks stands there alone; whoever compares it with an origin looks for a `Host`.
        if hosts == 0
            && request.version() == Version::HTTP_2
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        request.extensions_mut().insert(access::Target(authority));
    }
    request.extensions_mut().insert(ClientKey(app.settings().limits.ipv6_prefix.key(address)));
    Ok(())
}
