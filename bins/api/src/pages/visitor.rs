//! A visitor who may see the pages. Any other is redirected to the login.

use std::borrow::Cow;

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate_perfmon::Refused;

use super::next::Next;
use crate::pages::here::{Here, LOGIN};
use tidegate_web::app::App;
use tidegate_web::dashboard_session::{Role, role};
use tidegate_web::peer::is_direct_loopback;
use tidegate_web::problem::Problem;

#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) role: Role,
    /// Whether there is a session to be ended.
    pub(super) has_session: bool,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    /// Redirects an unknown visitor to the login.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        if !app.settings().tokens.any() {
            return open(app, parts)
                .map(|()| Self { role: Role::Admin, has_session: false })
                .map_err(IntoResponse::into_response);
        }
        match role(app, &parts.headers) {
            Some(role) => Ok(Self { role, has_session: true }),
            None => Err((Extension(Refused), Redirect::to(&login(parts))).into_response()),
        }
    }
}

/// Redirects to the login, which leads back to the requested page.
fn login(parts: &Parts) -> String {
    let wanted = parts.uri.path_and_query().map(PathAndQuery::as_str).filter(|_| parts.method == Method::GET);
    match wanted.and_then(Next::of) {
        Some(Next(path)) if path != Here::Overview.path() => {
            format!("{LOGIN}?next={}", utf8_percent_encode(&path, NON_ALPHANUMERIC))
        }
        _ => LOGIN.to_owned(),
    }
}

/// Checks whether the pages are open to the client if no token is set.
pub(super) fn open(app: &App, parts: &Parts) -> Result<(), Problem> {
    let mut headers = Cow::Borrowed(&parts.headers);
    if is_link(parts) {
        // A visitor who follows a link from another site changes nothing, and that site sees
        // nothing.
        headers.to_mut().remove("sec-fetch-site");
    }
    if is_direct_loopback(app.settings(), &parts.extensions, &headers) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "without tokens, the dashboard is open to direct connections from this machine only; \
         set TIDEGATE_ADMIN_TOKEN and TIDEGATE_READ_TOKEN",
    ))
}

/// Whether a browser loads a page of its own, not in a frame.
fn is_link(parts: &Parts) -> bool {
    let says = |name: &str, what: &str| parts.headers.get(name).is_some_and(|value| value == what);
    matches!(parts.method, Method::GET | Method::HEAD)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}
