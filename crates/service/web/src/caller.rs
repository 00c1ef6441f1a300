//! Finds the tenant of a request, and checks its quota.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use tidegate_model::session::{Session, SessionDigest};
use tidegate_model::tenant::{ApiKey, KeyDigest, Tenant, TenantId};
use tidegate_ratelimit::{Decision, TenantDecision, Tier, headers};
use tidegate_server::bearer::bearer;
use tidegate_settings::OpenTenants;

use crate::access_log::TenantOf;
use crate::app::App;
use crate::client::ClientKey;
use crate::limits;
use crate::origin::is_same_origin;
use crate::peer::is_direct_loopback;
use crate::problem::Problem;
use crate::sessions;
use crate::timeout;
use tidegate_server::fn_layer::Inner;

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// The tenant of a request. Only routes behind [`layer`] have one.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant, with the limits in force.
    pub tenant: Arc<Tenant>,
    /// The session of a user. `None` if the request uses the tenant's own key.
    pub session: Option<Session>,
}

impl Caller {
    /// Returns the key under which the limiter `report` counts this caller: the user, or else the
    /// tenant.
    pub fn asker(&self) -> String {
        match &self.session {
            Some(session) => format!("{}|{}", self.tenant.id, session.user),
            None => self.tenant.id.to_string(),
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        // Only a route outside the layer can get here.
        caller.ok_or_else(|| Problem::unauthorized("send the tenant's API key as `Authorization: Bearer tk_…`"))
    }
}

/// Layer of the application routes: finds the tenant and charges its quota.
pub fn layer<S: Inner>(
    app: App,
    request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    serve(app, request, inner.clone())
}

async fn serve(app: App, mut request: Request, inner: impl Inner) -> Result<Response, Problem> {
    // Bounded here, because a whole upload has no timeout.
    let admitted =
        timeout::bounded(&app, admit(&app, request.method(), request.headers(), request.extensions())).await??;
    request.extensions_mut().insert(admitted.caller.clone());
    let mut response = inner.answer(request).await;
    admitted.announce(&app, response.headers_mut());
    response.extensions_mut().insert(TenantOf(admitted.caller.tenant.id.clone()));
    Ok(response)
}

/// A caller whose quota has been charged.
pub struct Admitted {
    /// The caller.
    pub caller: Caller,
    quota: Option<TenantDecision>,
    /// Remaining requests of the limiter `api`, if that also counts the request.
    client: Option<Decision>,
}

impl Admitted {
    /// Announces every limit of the client, so that it can adapt to all of them.
    pub fn announce(&self, app: &App, response: &mut HeaderMap) {
        if let Some(quota) = &self.quota {
            limits::announce_tenant(response, quota);
        }
        if let Some(decision) = &self.client {
            headers::apply(response, app.limiters().api.name(), decision);
        }
    }
}

/// Finds the tenant of a request, and charges its quota and the client's limit.
///
/// If one of the two refuses, the charge of the other is returned.
///
/// # Errors
///
/// 401 for an unknown tenant, 403, 429 for a limit, 503 if no answer comes in time.
pub async fn admit(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Admitted, Problem> {
    let api = &app.limiters().api;
    let address = extensions.get::<ClientKey>().map(|client| client.0.as_str()).unwrap_or_default();
    let (caller, client) = match authenticate(app, method, headers, extensions).await {
        Ok((caller, credential)) => {
            app.limiters().anomalies.count(caller.tenant.id.as_str());
            let client = limited_as(&caller, &credential);
            (caller, client)
        }
        // A wrong key is counted by address.
        Err(Stranger::NotKnown(problem)) => {
            return Err(limits::enforce(api, address).await.err().unwrap_or(problem));
        }
        Err(Stranger::Failed(problem)) => return Err(problem),
    };
    let (quota, client) = limits::enforce_tenant(app.limiters(), &caller.tenant, client.as_deref()).await?;
    Ok(Admitted { caller, quota, client })
}

/// Whether a read that was admitted would still be admitted, for the same tenant and user. Charges
/// nothing. `true` if that cannot be determined now.
pub async fn still_speaks_for(app: &App, headers: &HeaderMap, extensions: &Extensions, caller: &Caller) -> bool {
    let user = |caller: &Caller| caller.session.as_ref().map(|session| session.user);
    match authenticate(app, &Method::GET, headers, extensions).await {
        Ok((found, _)) => found.tenant.id == caller.tenant.id && user(&found) == user(caller),
        Err(Stranger::NotKnown(_)) => false,
        Err(Stranger::Failed(_)) => true,
    }
}

/// How the tenant was named.
enum Credential {
    Key(KeyDigest),
    /// By `X-Tenant-Id`, without proof.
    Open(TenantId),
    /// By the cookie of a user's session.
    Session(SessionDigest),
}

/// Returns the client that the limiter `api` counts: a user or key of a tenant that has the
/// per-minute limit of the smallest tier. `None` for a tenant with a greater limit or one of its
/// own, which is bound only by its quota. Otherwise a limit of 120 on Basic would end at 100, and
/// with a block.
fn limited_as(caller: &Caller, credential: &Credential) -> Option<String> {
    let plan = &caller.tenant.plan;
    if plan.tier() != Tier::FREE.name() || plan.overrides().per_minute.is_some() {
        return None;
    }
    Some(match (&caller.session, credential) {
        (Some(session), _) => format!("user:{}", session.user),
        (None, Credential::Key(digest)) => format!("key:{:.16}", digest.to_string()),
        (None, Credential::Open(id)) => format!("tenant:{id}"),
        // Such a caller is a user.
        (None, Credential::Session(_)) => return None,
    })
}

/// Why a request has no tenant.
enum Stranger {
    /// It names no existing tenant: a guess.
    NotKnown(Problem),
    /// A failure of the server, which is charged to no client.
    Failed(Problem),
}

/// Treats an error while processing as a failure of the server.
impl<E: Into<Problem>> From<E> for Stranger {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Looks up the tenant, even if the address has used up its guesses: only a lookup distinguishes a
/// valid key from a guess.
async fn authenticate(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(Caller, Credential), Stranger> {
    let credential = credential(app, headers, extensions).map_err(Stranger::NotKnown)?;
    // From here on, the cache has seen every commit that ended before this request arrived.
    app.catch_up().await?;
    match credential {
        Credential::Key(digest) => {
            let unknown = || Stranger::NotKnown(Problem::unauthorized("the API key is not known"));
            let id = app.tenants().of_key(&digest).await?.ok_or_else(unknown)?;
            let tenant = app.tenants().get(&id).await?.ok_or_else(unknown)?;
            Ok((Caller { tenant, session: None }, credential))
        }
        Credential::Open(ref id) => {
            let tenant = app.tenants().get(id).await?.ok_or_else(|| Stranger::NotKnown(unknown_tenant()))?;
            Ok((Caller { tenant, session: None }, credential))
        }
        Credential::Session(ref digest) => {
            // A browser sends the cookie with requests from any site. Only this origin may make
            // changes.
            if !method.is_safe() && !is_same_origin(headers) {
                return Err(Stranger::Failed(Problem::forbidden("a session may not make changes from another site")));
            }
            let unknown =
                || Stranger::NotKnown(Problem::unauthorized("the session is over or not known; log in again"));
            let session = app.sessions().of(digest).await?.ok_or_else(unknown)?;
            let tenant = app.tenants().get(&session.tenant).await?.ok_or_else(unknown)?;
            Ok((Caller { tenant, session: Some(session) }, credential))
        }
    }
}

/// Inspects only the request, without a lookup.
fn credential(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Result<Credential, Problem> {
    if let Some(token) = bearer(headers).filter(|token| token.starts_with(ApiKey::PREFIX)) {
        let digest = ApiKey::digest_of(token);
        return digest.map(Credential::Key).ok_or_else(|| Problem::unauthorized("the API key is not known"));
    }
    if let Some(digest) = has_session(headers) {
        return Ok(Credential::Session(digest));
    }
    let Some(named) = headers.get(X_TENANT_ID) else {
        return Err(Problem::unauthorized("send the tenant's API key as `Authorization: Bearer tk_…`"));
    };
    if !may_name_tenants(app, headers, extensions) {
        return Err(Problem::unauthorized(
            "X-Tenant-Id alone is not accepted here: send the tenant's API key as `Authorization: Bearer tk_…`",
        ));
    }
    let id = named.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Credential::Open).ok_or_else(unknown_tenant)
}

/// Returns the session in the cookie, unless another header names the caller. A cookie beside a
/// bare `X-Tenant-Id` must not make its sender a manager.
pub fn has_session(headers: &HeaderMap) -> Option<SessionDigest> {
    let is_named = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(X_TENANT_ID);
    if is_named { None } else { sessions::sent(headers) }
}

/// Whether a request comes from a tenant, with an API key or a session, and not from an operator.
pub fn is_of_tenant(headers: &HeaderMap) -> bool {
    let has_key = bearer(headers).is_some_and(|token| token.starts_with(ApiKey::PREFIX));
    has_key || has_session(headers).is_some()
}

fn unknown_tenant() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-tenant", "there is no tenant of the id in X-Tenant-Id")
}

fn may_name_tenants(app: &App, headers: &HeaderMap, extensions: &Extensions) -> bool {
    match app.settings().open_tenants {
        OpenTenants::Everyone => true,
        OpenTenants::Loopback => is_direct_loopback(app.settings(), extensions, headers),
        OpenTenants::Closed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_by_a_fault_of_ours_is_no_guess() {
        let fails = || -> Result<(), Stranger> { Err(Problem::not_found("a store"))? };
        assert!(matches!(fails(), Err(Stranger::Failed(_))));
    }

    /// Routes of a tenant's managers trust a session, so they must require proof of it.
    #[test]
    fn a_cookie_counts_only_without_other_credentials() {
        let cookie = format!("tidegate_user={}", "0".repeat(64));
        let with = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert!(has_session(&with(header::ACCEPT, "*/*")).is_some());
        assert!(has_session(&with(X_TENANT_ID, "acme")).is_none());
        assert!(has_session(&with(header::AUTHORIZATION, "Bearer x")).is_none());
    }
}
