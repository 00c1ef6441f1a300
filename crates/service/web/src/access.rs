//! Access to operations and to the decision service.
//!
//! This module decides which clients may read and change what concerns the whole service, and which
//! may request decisions. [`crate::caller`] decides about tenants.
//!
//! A request with an unknown token is a failed attempt. The limiter `auth` counts attempts by the
//! client's address and the role that was tried, and refuses further ones. A valid token always
//! passes: tokens are too long to be guessed, and another client at the same address must not lock
//! their owner out.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use tidegate_server::bearer::bearer;
use tidegate_settings::Rights;

use crate::app::App;
use crate::client::ClientKey;
use crate::dashboard_session;
use crate::limits;
use crate::peer::is_direct_loopback;
use crate::problem::Problem;
use tidegate_server::fn_layer::Inner;

/// Layer of routes that require a token.
///
/// # Errors
///
/// 401, 403, or 429 after too many unknown tokens.
pub fn layer<S: Inner>(
    (app, need): (App, Need),
    request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let inner = inner.clone();
    async move {
        admit(&app, need, request.extensions(), request.headers()).await?;
        Ok(inner.answer(request).await)
    }
}

/// Checks that the request may read operations. For routes that tenants may read too.
///
/// # Errors
///
/// 401 or 403, as on any operations route, or 429 after too many unknown tokens.
pub async fn read_operations(app: &App, parts: &Parts) -> Result<(), Problem> {
    admit(app, Need::Read, &parts.extensions, &parts.headers).await
}

/// Checks that the request may change operations. For routes that tenants may change too.
///
/// # Errors
///
/// As [`read_operations`].
pub async fn change_operations(app: &App, parts: &Parts) -> Result<(), Problem> {
    admit(app, Need::Change, &parts.extensions, &parts.headers).await
}

/// Whether the request skips the front limiter: it has the admin token, it has the service token
/// and requests a decision, or it is for a page and has an admin's session.
pub fn passes_front<B>(app: &App, request: &axum::http::Request<B>) -> bool {
    let Rights { admin, service, .. } = shown(app, request);
    admin || (service && request.uri().path() == CHECK_PATH)
}

/// Whether the request has the admin token, or is for a page and has an admin's session.
pub fn is_admin<B>(app: &App, request: &axum::http::Request<B>) -> bool {
    shown(app, request).admin
}

fn shown<B>(app: &App, request: &axum::http::Request<B>) -> Rights {
    match bearer(request.headers()) {
        Some(sent) => app.settings().tokens.rights(sent),
        None => Rights {
            admin: dashboard_session::is_of_admin(app, request.uri().path(), request.headers()),
            ..Rights::default()
        },
    }
}

/// Path of the decision service.
pub const CHECK_PATH: &str = "/api/rate-limit/check";

/// The right that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reading what operators see: the read token.
    Read,
    /// Changing it, and reading what only holders of this token may see: the admin token.
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

/// Admits the request or refuses it. Returns the refusal if it counts as a failed attempt.
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
            Err(Problem::forbidden("the service token may only request decisions"))
        }
        Need::Change if is_reader => {
            Err(Problem::forbidden("the read token may not do this, which needs the admin token"))
        }
        Need::Decide if is_reader => Err(Problem::forbidden("the read token may not charge a key")),
        _ => Ok(Some(Problem::unauthorized("the token is not known"))),
    }
}
