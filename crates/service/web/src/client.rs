//! The client's address, as far as it can be trusted, and the host that the client names.

use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use tidegate_ratelimit::client_address;
use tidegate_server::serve::{ByTls, one_host};

use crate::app::App;
use crate::cookie;
use crate::peer::{NoPeer, Target, peer};
use crate::problem::Problem;
use tidegate_server::fn_layer::{Inner, answered};

/// The key under which a client's requests are counted: its address, an IPv6 one by its prefix.
#[derive(Debug, Clone)]
pub struct ClientKey(pub String);

/// Layer that finds the client's address behind trusted proxies. It also stores the authority of
/// the request's target, and whether the request came over the server's own TLS. An HTTP/1.1
/// request without a `Host`, or any request with two, is refused (RFC 9112, 3.2): a proxy in front
/// may have used the other one.
///
/// # Errors
///
/// 400.
pub fn layer<S: Inner>(
    app: App,
    mut request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let begun = look(app, &mut request).map(|()| answered(inner.call(request)));
    async move { Ok(begun?.await) }
}

fn look(app: App, request: &mut Request) -> Result<(), Problem> {
    one_host(request).map_err(|error| Problem::bad_request("bad-host", error.to_string()))?;
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let by_tls = request.extensions().get::<ByTls>().is_some();
    cookie::mark(request.headers_mut(), by_tls);
    let peer = peer(request.extensions()).ok_or_else(|| Problem::internal(&NoPeer))?;
    let address = client_address(peer, request.headers(), &app.settings().trusted_proxies);
    if let Some(authority) = request.uri().authority().cloned() {
        // HTTP/2 names the host only in the target. Code that compares it with an origin reads
        // `Host`.
        if hosts == 0
            && request.version() == Version::HTTP_2
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        request.extensions_mut().insert(Target(authority));
    }
    request.extensions_mut().insert(ClientKey(app.settings().limits.ipv6_prefix.key(address)));
    Ok(())
}
