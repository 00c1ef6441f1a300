//! `/api/rate-limit`: what the limiters did, and a tenant's plan.

use axum::extract::State;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_app::tenant::{self, Plan, TenantId};
use tidegate_ratelimit::{CheckError, Limiter, Overrides};

use super::tenants::{parse_tier, plan};
use crate::app::App;
use crate::json::Json;
use crate::limits;
use crate::object::Object;
use crate::path::Path;
use crate::problem::Problem;
use crate::query::Query;

pub(super) async fn show(State(app): State<App>) -> axum::Json<Value> {
    let limiters = app.limiters();
    let named = |limiter: &dyn Limiter| json!({"name": limiter.name(), "quota": limiter.quota().to_string(), "stats": limiter.stats()});
    axum::Json(json!({
        "limiters": [
            named(&*limiters.ddos),
            named(&*limiters.api),
            {"name": "tenant", "quota": null, "stats": limiters.tenants.stats()},
        ],
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlan {
    #[serde(alias = "tenantId")]
    tenant_id: String,
    #[serde(default)]
    tier: Option<String>,
    #[serde(default)]
    limits: Object<LimitChanges>,
}

/// What becomes of a tenant's own limits: one that is not named stays, one that is `null` goes, so that the tier's
/// holds again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitChanges {
    #[serde(default, deserialize_with = "named")]
    per_minute: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    per_hour: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    per_day: Option<Option<u64>>,
    #[serde(default, alias = "users", deserialize_with = "named")]
    max_users: Option<Option<u32>>,
}

/// By itself serde takes `null` and nothing at all for the same.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl LimitChanges {
    fn over(&self, before: &Overrides) -> Overrides {
        Overrides {
            per_minute: self.per_minute.unwrap_or(before.per_minute),
            per_hour: self.per_hour.unwrap_or(before.per_hour),
            per_day: self.per_day.unwrap_or(before.per_day),
            max_users: self.max_users.unwrap_or(before.max_users),
        }
    }
}

/// Gives a tenant another tier or other limits of its own; what is not named stays as it is.
pub(super) async fn set_plan(State(app): State<App>, Json(new): Json<NewPlan>) -> Result<axum::Json<Value>, Problem> {
    let NewPlan { tenant_id, tier, limits: Object(limits) } = new;
    let missing = || Problem::not_found(format!("there is no tenant `{tenant_id}`"));
    let id: TenantId = tenant_id.parse().map_err(|_| missing())?;
    let tier = tier.as_deref().map(parse_tier).transpose()?;
    let change = |before: &Plan| plan(tier.unwrap_or(before.tier()), limits.over(&before.overrides()));
    let (store, limiter) = (&app.node().store, &*app.limiters().tenants);
    let after = tenant::change_plan(store, limiter, &id, change).await?.ok_or_else(missing)?;
    let mut body = json!(after);
    body["tenant_id"] = id.as_str().into();
    Ok(axum::Json(body))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyOfLimiter {
    limiter: String,
    key: String,
}

/// Forgets what a key has used, and its block.
pub(super) async fn reset(
    State(app): State<App>,
    Query(query): Query<KeyOfLimiter>,
) -> Result<axum::Json<Value>, Problem> {
    let was_known = if query.limiter == "tenant" {
        app.limiters().tenants.reset(&query.key).await
    } else {
        let limiter = app.limiters().named(&query.limiter);
        let limiter = limiter.ok_or_else(|| {
            Problem::not_found(format!("there is no limiter `{}`; there are ddos, api and tenant", query.limiter))
        })?;
        limiter.reset(&query.key).await
    };
    let was_known = was_known.map_err(|error| match error {
        CheckError::Store(_) => limits::undecided(&error),
        other => Problem::unprocessable("bad-key", other.to_string()),
    })?;
    Ok(axum::Json(json!({"reset": was_known})))
}

/// A tenant's plan in force, what it has used of its windows and seats, and its block.
pub(super) async fn usage(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    app.catch_up().await?;
    let missing = || Problem::not_found(format!("there is no tenant `{id}`"));
    let id: TenantId = id.parse().map_err(|_| missing())?;
    let tenant = app.tenants().get(&id).await?.ok_or_else(missing)?;
    let usage = app.limiters().tenants.usage(id.as_str(), &tenant.plan).await;
    let usage = usage.map_err(|error| limits::undecided(&error))?;
    let mut body = json!(usage);
    body["tenant_id"] = json!(id);
    Ok(axum::Json(body))
}
