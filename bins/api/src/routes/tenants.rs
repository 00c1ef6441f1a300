//! `/api/tenants`: customers, their keys and users.

mod keys;
pub(super) mod operations;
mod reindex;
mod users;

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tidegate_model::tenant::{ApiKey, Plan, TIERS, Tenant, TenantId};
use tidegate_ratelimit::{Overrides, Tier};
use tidegate_store::TenantPage;

use tidegate_web::access;
use tidegate_web::answer::created_with_key;
use tidegate_web::app::App;
use tidegate_web::caller;
use tidegate_web::json::Json;
use tidegate_web::object::Object;
use tidegate_web::page::PageQuery;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

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
    let tier = new.tier.as_deref().map_or(Ok(Tier::FREE), parse_tier)?;
    let tenant = Tenant::create(id, name.to_owned(), plan(tier, new.limits.0)?);
    let key = ApiKey::generate();
    app.node().store.create_tenant(&tenant, &key).await?;

    let location = format!("/api/tenants/{}", tenant.id);
    Ok(created_with_key(json!(tenant), &key, location))
}

/// By id.
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<TenantPage>, Problem> {
    Ok(axum::Json(app.node().store.tenants(query.limit()?, query.after()?.as_ref()).await?))
}

/// Operators may see every tenant, a tenant only itself.
///
/// The credential decides: an API key or a user's session identifies a tenant, anything else an
/// operator.
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>, parts: Parts) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there is no tenant `{id}`"));
    if caller::is_of_tenant(&parts.headers) {
        let admitted = caller::admit(&app, &parts.method, &parts.headers, &parts.extensions).await?;
        let tenant = Arc::clone(&admitted.caller.tenant);
        let shown = if tenant.id.as_str() == id { Ok(axum::Json(tenant)) } else { Err(missing()) };
        let mut response = shown.into_response();
        admitted.announce(&app, response.headers_mut());
        return Ok(response);
    }
    access::read_operations(&app, &parts).await?;
    app.catch_up().await?;
    let id: TenantId = id.parse().map_err(|_| missing())?;
    let tenant = app.tenants().get(&id).await?.ok_or_else(missing)?;
    Ok(axum::Json(tenant).into_response())
}

pub(super) fn parse_tier(text: &str) -> Result<Tier, Problem> {
    TIERS.get(text).map_err(|error| Problem::unprocessable("bad-tier", format!("`tier`: {error}")))
}

pub(super) fn plan(tier: Tier, overrides: Overrides) -> Result<Plan, Problem> {
    Plan::try_new(tier, overrides).map_err(|error| Problem::unprocessable("bad-limits", format!("`limits`: {error}")))
}
