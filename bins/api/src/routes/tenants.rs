//! `/api/tenants`: customers and their first key.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tidegate_app::clock;
use tidegate_app::tenant::{ApiKey, Plan, Tenant, TenantId};
use tidegate_ratelimit::{Overrides, Tier};

use crate::access::OperationsRead;
use crate::app::App;
use crate::caller::Caller;
use crate::client::ClientKey;
use crate::json::Json;
use crate::limits;
use crate::object::Object;
use crate::path::Path;
use crate::problem::Problem;

/// Longest name in characters.
const MAX_NAME: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    id: String,
    name: String,
    #[serde(default)]
    tier: Option<String>,
    #[serde(default)]
    limits: Object<Overrides>,
}

pub(super) async fn create(State(app): State<App>, Json(new): Json<NewTenant>) -> Result<Response, Problem> {
    let id: TenantId =
        new.id.parse().map_err(|error| Problem::unprocessable("bad-tenant-id", format!("`id`: {error}")))?;
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("`name` is 1 to {MAX_NAME} characters, none of them a control character");
        return Err(Problem::unprocessable("bad-name", detail));
    }
    let tier = new.tier.as_deref().map_or(Ok(Tier::Free), parse_tier)?;
    let tenant = Tenant { id, name: name.to_owned(), plan: plan(tier, new.limits.0)?, created_at: clock::now() };
    let key = ApiKey::generate();
    app.node().store.create_tenant(&tenant, &key).await?;

    let location = HeaderValue::try_from(format!("/api/tenants/{}", tenant.id)).ok();
    let mut body = json!(tenant);
    body["api_key"] = key.expose().into();
    let mut response = (StatusCode::CREATED, axum::Json(body)).into_response();
    // The key is in there, this once.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Operators may look at every tenant, a tenant at itself.
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(client): Extension<ClientKey>,
    operator: Result<OperationsRead, Problem>,
    caller: Result<Caller, Problem>,
) -> Result<axum::Json<Arc<Tenant>>, Problem> {
    let missing = || Problem::not_found(format!("there is no tenant `{id}`"));
    match (operator, caller) {
        (Ok(OperationsRead), _) => {
            app.coherence().catch_up().await;
            let id: TenantId = id.parse().map_err(|_| missing())?;
            app.tenants().get(&id).await?.map(axum::Json).ok_or_else(missing)
        }
        (_, Ok(caller)) if caller.tenant.id.as_str() == id => Ok(axum::Json(caller.tenant)),
        (_, Ok(_)) => Err(missing()),
        (Err(refused), Err(_)) => {
            // Whoever guesses keys here is counted as anywhere else.
            limits::enforce(&*app.limiters().api, &client.0).await?;
            Err(refused)
        }
    }
}

pub(super) fn parse_tier(text: &str) -> Result<Tier, Problem> {
    text.parse().map_err(|error| Problem::unprocessable("bad-tier", format!("`tier`: {error}")))
}

pub(super) fn plan(tier: Tier, overrides: Overrides) -> Result<Plan, Problem> {
    Plan::try_new(tier, overrides).map_err(|error| Problem::unprocessable("bad-limits", format!("`limits`: {error}")))
}
