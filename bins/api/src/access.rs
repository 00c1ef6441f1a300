//! The circles of access: operations, the decision service, and application.
//!
//! This file decides about the first two: who may read and who may change what concerns the whole service, and who may ask for
//! decisions. Tenants are [`crate::caller`]'s.
//!
//! A token that isn't known is an attempt, and the limiter `auth` counts it by the client's address and what it tried to be.
//! Whoever has used up its attempts is told so from then on. A token that is right always passes: tokens are too long
//! to be guessed, and somebody else at the same address must not be able to shut their owner out.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, Uri, header};
use axum::response::Response;
use tidegate_ratelimit::has_forwarded_header;
use tidegate_server::bearer::bearer;
use tidegate_settings::{Rights, Settings};

use crate::app::App;
use crate::around::Behind;
use crate::client::ClientKey;
use crate::problem::Problem;
use crate::{limits, pages};

/// Layer of what asks for a token.
pub(crate) fn layer<S: Behind>(
    (app, need): (App, Need),
    request: Request,
    behind: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let behind = behind.clone();
    async move {
        admit(&app, need, request.extensions(), request.headers()).await?;
        Ok(behind.answer(request).await)
    }
}

/// Whether the request may read operations; for routes that tenants may read too.
///
/// # Errors
///
/// 401 or 403, as on any of the operations routes; 429 after too many tokens that aren't known.
pub(crate) async fn read_operations(app: &App, parts: &Parts) -> Result<(), Problem> {
    admit(app, Need::Read, &parts.extensions, &parts.headers).await
}

/// Whether the request may change what operations may; for routes that tenants may change too.
///
/// # Errors
///
/// As [`read_operations`].
pub(crate) async fn change_operations(app: &App, parts: &Parts) -> Result<(), Problem> {
    admit(app, Need::Change, &parts.extensions, &parts.headers).await
}

/// Whether the request has the admin token, is one to the decision service with the service token, or one for a page of somebody who
/// logged in with the admin token.
pub(crate) fn passes_front<B>(app: &App, request: &axum::http::Request<B>) -> bool {
    let Rights { admin, service, .. } = shown(app, request);
    admin || (service && request.uri().path() == CHECK_PATH)
}

/// Whether the request has the admin token, or is one for a page of somebody who logged in with it.
pub(crate) fn is_admin<B>(app: &App, request: &axum::http::Request<B>) -> bool {
    shown(app, request).admin
}

fn shown<B>(app: &App, request: &axum::http::Request<B>) -> Rights {
    match bearer(request.headers()) {
        Some(sent) => app.settings().tokens.rights(sent),
        None => Rights { admin: pages::is_of_admin(app, request.uri().path(), request.headers()), ..Rights::default() },
    }
}

/// Where decisions are asked for.
pub(crate) const CHECK_PATH: &str = "/api/rate-limit/check";

/// What a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To look into what operators look into: the read token.
    Read,
    /// To change it, and to see what only they may see whose it is: the admin token.
    Change,
    /// The decision service: the service token, or the admin token.
    Decide,
}

async fn admit(app: &App, need: Need, extensions: &Extensions, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(problem) = check(app, need, extensions, headers)? else { return Ok(()) };
    let address = extensions.get::<ClientKey>().map(|client| client.0.as_str()).unwrap_or_default();
    let account = if need == Need::Decide { "service" } else { "operations" };
    limits::enforce(&app.limiters().auth, &format!("{address}|{account}")).await?;
    Err(problem)
}

/// Lets the request through, or refuses it; or says how it is refused as an attempt that failed.
fn check(app: &App, need: Need, extensions: &Extensions, headers: &HeaderMap) -> Result<Option<Problem>, Problem> {
    let settings = app.settings();
    let tokens = &settings.tokens;
    if !tokens.any() {
        return if is_direct_loopback(settings, extensions, headers) {
            Ok(None)
        } else {
            Err(Problem::forbidden(
                "without tokens, operations are open to direct connections from this machine only; \
                 set TIDEGATE_ADMIN_TOKEN and TIDEGATE_READ_TOKEN",
            ))
        };
    }
    let Some(sent) = bearer(headers) else {
        return Err(Problem::unauthorized("send the token of this operation as `Authorization: Bearer …`"));
    };
    let Rights { admin: is_admin, read: is_reader, service: is_service } = tokens.rights(sent);
    match need {
        _ if is_admin => Ok(None),
        Need::Read if is_reader => Ok(None),
        Need::Decide if is_service => Ok(None),
        Need::Read | Need::Change if is_service => {
            Err(Problem::forbidden("the service token may only ask for decisions"))
        }
        Need::Change if is_reader => {
            Err(Problem::forbidden("the read token may not do this, which needs the admin token"))
        }
        Need::Decide if is_reader => Err(Problem::forbidden("the read token may not charge anybody")),
        _ => Ok(Some(Problem::unauthorized("the token is not known"))),
    }
}

/// The address at the other end of the connection.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// The authority in a request's target, where that is in absolute form.
#[derive(Debug, Clone)]
pub(crate) struct Target(pub Authority);

/// Whether somebody on this machine speaks to us, and nobody through them.
///
/// A proxy on this machine would make the whole world look local, so a forwarded header or a trusted proxy ends it;
/// and a browser on this machine may be led here by a foreign page, so `Host` and `Origin` must be local too.
pub(crate) fn is_direct_loopback(settings: &Settings, extensions: &Extensions, headers: &HeaderMap) -> bool {
    settings.listen.ip().is_loopback()
        && peer(extensions).is_some_and(|address| address.is_loopback())
        && settings.trusted_proxies.is_empty()
        && !has_forwarded_header(headers)
        && !headers.contains_key(header::VIA)
        && names_this_machine(extensions, headers)
        && headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
        && headers.get(header::ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(is_local_origin))
}

/// Whether the request says whom it is for, and that is this machine wherever it says it. HTTP/1.0 need not have a `Host`,
/// and a target in absolute form overrides it.
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
    fn local_authorities_are_told_from_lookalikes() {
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
