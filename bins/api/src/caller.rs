//! Which tenant a request speaks for, and whether its quota lets it through.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;
use tidegate_app::settings::OpenTenants;
use tidegate_app::tenant::{ApiKey, Tenant, TenantId};
use tidegate_ratelimit::{Decision, Tier};

use crate::access;
use crate::app::App;
use crate::client::ClientKey;
use crate::limits;
use crate::problem::Problem;

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// The tenant that a request speaks for; only routes behind [`layer`] have one.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The tenant, with the limits in force.
    pub tenant: Arc<Tenant>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            None => authenticate(app, &parts.headers, &parts.extensions).await.map(|(caller, _)| caller),
        }
    }
}

/// Layer of the application routes: finds the tenant, then charges its quota and the client's limit, both or neither.
pub(crate) async fn layer(State(app): State<App>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let authenticated = authenticate(&app, request.headers(), request.extensions()).await;
    let (caller, client) = match authenticated {
        Ok((caller, credential)) => {
            let client = limited_as(&caller.tenant, credential);
            (caller, client)
        }
        Err(problem) => {
            // Whoever guesses keys is counted by address.
            let client = client_key(&request);
            limits::enforce(&*app.limiters().api, &client).await?;
            return Err(problem);
        }
    };
    // Asked before anything is charged, so that a request that this refuses costs the tenant nothing.
    if let Some(client) = &client
        && let Ok(Decision::Denied(_)) = app.limiters().api.peek(client, 1).await
    {
        limits::enforce(&*app.limiters().api, client).await?;
    }
    let quota = limits::enforce_tenant(app.limiters(), &caller.tenant)?;
    if let Some(client) = &client {
        limits::enforce(&*app.limiters().api, client).await?;
    }
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    limits::announce_tenant(response.headers_mut(), &quota);
    Ok(response)
}

/// How the tenant was named.
enum Credential {
    /// By an API key, which this stands for.
    Key(String),
    /// By `X-Tenant-Id`, without proof.
    Open,
}

/// What the `api` limiter counts: the key on the small tiers; on Premium and above a tenant-level key is bound by its
/// quota alone.
fn limited_as(tenant: &Tenant, credential: Credential) -> Option<String> {
    match (tenant.plan.tier(), credential) {
        (Tier::Premium | Tier::Enterprise, _) => None,
        (_, Credential::Key(key)) => Some(key),
        (_, Credential::Open) => Some(format!("tenant:{}", tenant.id)),
    }
}

fn client_key(request: &Request) -> String {
    request.extensions().get::<ClientKey>().map(|client| client.0.clone()).unwrap_or_default()
}

async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    extensions: &axum::http::Extensions,
) -> Result<(Caller, Credential), Problem> {
    // From here on, the cache knows of every commit that ended before this request came.
    app.coherence().catch_up().await;
    if let Some(token) = access::bearer(headers).filter(|token| token.starts_with(ApiKey::PREFIX)) {
        let digest = ApiKey::digest_of(token);
        let id = app.tenants().of_key(&digest).await?;
        let id = id.ok_or_else(|| Problem::unauthorized("the API key is not known"))?;
        let tenant = app.tenants().get(&id).await?;
        let tenant = tenant.ok_or_else(|| Problem::unauthorized("the API key is not known"))?;
        let key = digest.0.iter().take(8).fold(String::from("key:"), |text, byte| text + &format!("{byte:02x}"));
        return Ok((Caller { tenant }, Credential::Key(key)));
    }
    let Some(named) = headers.get(X_TENANT_ID) else {
        return Err(Problem::unauthorized("send the tenant's API key as `Authorization: Bearer tk_…`"));
    };
    if !may_name_tenants(app, headers, extensions) {
        return Err(Problem::unauthorized(
            "X-Tenant-Id alone is not accepted here: send the tenant's API key as `Authorization: Bearer tk_…`",
        ));
    }
    let unknown = || Problem::not_found("there is no tenant of the id in X-Tenant-Id").with("code", "unknown-tenant");
    let id: TenantId = named.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(unknown)?;
    let tenant = app.tenants().get(&id).await?.ok_or_else(unknown)?;
    Ok((Caller { tenant }, Credential::Open))
}

fn may_name_tenants(app: &App, headers: &HeaderMap, extensions: &axum::http::Extensions) -> bool {
    match app.settings().open_tenants {
        OpenTenants::Everyone => true,
        OpenTenants::Loopback => access::is_direct_loopback(app.settings(), access::peer(extensions), headers),
        OpenTenants::Closed => false,
    }
}
