//! `/api/session`: login of a user by e-mail and password, and logout.

pub(super) mod operations;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_model::session::SessionToken;
use tidegate_model::tenant::TenantId;
use tidegate_model::user::{Email, User};

use crate::openapi::derived;
use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::client::ClientKey;
use tidegate_web::json::Json;
use tidegate_web::limits;
use tidegate_web::origin::is_same_origin;
use tidegate_web::problem::Problem;
use tidegate_web::sessions;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Users of several tenants may have the same address.
    #[serde(alias = "tenantId")]
    tenant_id: String,
    email: String,
    password: String,
}

/// A session as its user sees it.
#[derive(Serialize, JsonSchema)]
pub(super) struct SessionView<'a> {
    #[schemars(with = "String")]
    tenant_id: &'a TenantId,
    #[schemars(schema_with = "derived::user")]
    user: &'a User,
    expires_at: DateTime<Utc>,
}

/// Begins a session, and sets its cookie.
///
/// Charges first: the address as for any unauthenticated request, and an attempt at the account,
/// which a success refunds. Neither the response nor its duration reveals why a login failed.
pub(super) async fn begin(
    State(app): State<App>,
    Extension(ClientKey(client)): Extension<ClientKey>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    // Otherwise another site could log its visitor in as a user whose data that site can read.
    if !is_same_origin(&headers) {
        return Err(from_elsewhere());
    }
    limits::enforce(&app.limiters().api, &client).await?;
    let account: Option<(TenantId, Email)> = login.tenant_id.parse().ok().zip(login.email.parse().ok());
    let attempt = match &account {
        Some((tenant, email)) => format!("{client}|{tenant}/{email}"),
        None => format!("{client}|nobody"),
    };
    let auth = &app.limiters().auth;
    limits::enforce(auth, &attempt).await?;
    let store = &app.node().store;
    let found = match &account {
        Some((tenant, email)) => store.user_of_email(tenant, email).await?,
        None => None,
    };
    let stored = found.as_ref().map(|(_, password)| password);
    let is_it = app.passwords().matches(&login.password, stored).await?;
    let refused = || Problem::unauthorized("there is no user of that tenant with that e-mail and password");
    let ((tenant, _), (user, password)) = account.zip(found).filter(|_| is_it).ok_or_else(refused)?;
    limits::forgive(auth, &attempt).await;

    let (token, lasts) = (SessionToken::generate(), app.settings().session_ttl);
    // The browser replaces the cookie that it sent, so the old session ends here.
    let before = sessions::sent(&headers);
    let session = store.begin_session(&token.digest(), (&tenant, user.id), &password, lasts, before.as_ref()).await?;
    let session = session.ok_or_else(refused)?;
    let body = SessionView { tenant_id: &tenant, user: &user, expires_at: session.expires_at };
    let cookie = sessions::begin(&token, lasts, &headers);
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], axum::Json(body)).into_response())
}

/// The user who is logged in.
pub(super) async fn show(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let none =
        || Problem::not_found("this request has no session: it used an API key, or is for the tenant as a whole");
    let session = caller.session.ok_or_else(none)?;
    // A deleted user has no session any more, except between these two lookups.
    let gone = || Problem::unauthorized("the session is over or not known; log in again");
    let user = app.node().store.user(&session.tenant, session.user).await?.ok_or_else(gone)?;
    let body = SessionView { tenant_id: &session.tenant, user: &user, expires_at: session.expires_at };
    Ok(axum::Json(body).into_response())
}

/// Ends the session in every process and clears the cookie. A missing session is not an error.
pub(super) async fn end(
    State(app): State<App>,
    Extension(ClientKey(client)): Extension<ClientKey>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !is_same_origin(&headers) {
        return Err(from_elsewhere());
    }
    if let Some(digest) = sessions::sent(&headers) {
        app.catch_up().await?;
        if app.sessions().of(&digest).await?.is_some() {
            app.node().store.end_session(&digest).await?;
        } else {
            // Counted as a guess, as on any other route.
            limits::enforce(&app.limiters().api, &client).await?;
        }
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, sessions::end(&headers))]).into_response())
}

fn from_elsewhere() -> Problem {
    Problem::forbidden("the request was sent from another site")
}
