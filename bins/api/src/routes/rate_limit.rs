//! `/api/rate-limit`: the limiters' figures, quotas and keys, decisions for others, tenants' plans.

mod check;
pub(crate) mod keys;
pub(super) mod operations;
pub(crate) mod quotas;

use std::sync::Arc;

use axum::extract::State;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_domain::plans::change_plan;
use tidegate_model::tenant::{Plan, Tenant, TenantId};
use tidegate_ratelimit::{Overrides, TenantUsage};

use super::tenants::{parse_tier, plan};
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::limits::{self, Named};
use tidegate_web::object::Object;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

pub(super) use check::check;
pub(super) use keys::{block, reset, unblock};

pub(super) async fn show(State(app): State<App>) -> axum::Json<Value> {
    axum::Json(told(&app))
}

/// Returns each limiter with its decisions.
pub(crate) fn told(app: &App) -> Value {
    let limiters = app.limiters();
    let named = |named: &Named| {
        json!({
            "name": named.name(),
            "algorithm": named.algorithm(),
            "quota": named.quota().to_string(),
            "applied_quota": named.applied_quota().to_string(),
            "settings_quota": named.own_quota().to_string(),
            "block_seconds": named.block().as_secs_f64(),
            "mode": named.mode().name(),
            "allow": texts(&named.lists().allow),
            "deny": texts(&named.lists().deny),
            "stats": named.stats(),
        })
    };
    let mut all = limiters.all().map(named).to_vec();
    all.push(json!({
        "name": limits::TENANT,
        "algorithm": "tenant",
        "quota": null,
        "applied_quota": null,
        "settings_quota": null,
        "block_seconds": 0.0,
        "mode": limiters.tenant_mode.name(),
        "allow": [],
        "deny": [],
        "stats": limiters.tenants.stats(),
    }));
    json!({"limiters": all, "flagged": limiters.anomalies.json()})
}

fn texts(networks: &[IpNet]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

/// A tenant's plan, or a limiter's quota.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default, alias = "tenantId", deserialize_with = "present")]
    tenant_id: Option<String>,
    #[serde(default)]
    tier: Option<String>,
    #[serde(default, deserialize_with = "present")]
    limits: Option<Object<LimitChanges>>,
    #[serde(default, deserialize_with = "present")]
    limiter: Option<String>,
    #[serde(default, deserialize_with = "named")]
    quota: Option<Option<String>>,
}

/// Changes what the body names: `tenant_id` with its new plan, or `limiter` with its quota.
pub(super) async fn change(State(app): State<App>, Json(change): Json<Change>) -> Result<axum::Json<Value>, Problem> {
    match change {
        Change { tenant_id: Some(tenant_id), tier, limits, limiter: None, quota: None } => {
            let limits = limits.unwrap_or_default();
            set_plan(&app, NewPlan { tenant_id, tier, limits: limits.0 }).await.map(axum::Json)
        }
        Change { tenant_id: None, tier: None, limits: None, limiter: Some(limiter), quota: Some(quota) } => {
            quotas::set(&app, &limiter, quota.as_deref()).await.map(axum::Json)
        }
        _ => Err(Problem::bad_request(
            "unexpected-json",
            "the body must have either `tenant_id` with `tier` and `limits`, or `limiter` and `quota`",
        )),
    }
}

pub(crate) struct NewPlan {
    pub(crate) tenant_id: String,
    /// Unchanged if absent.
    pub(crate) tier: Option<String>,
    pub(crate) limits: LimitChanges,
}

/// Changes of a tenant's own limits: an absent one stays, one that is `null` returns to the tier's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitChanges {
    #[serde(default, deserialize_with = "named")]
    pub(crate) per_minute: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    pub(crate) per_hour: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    pub(crate) per_day: Option<Option<u64>>,
    #[serde(default, alias = "users", deserialize_with = "named")]
    pub(crate) max_users: Option<Option<u32>>,
}

/// A field that is present has a value: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// By default serde does not distinguish `null` from an absent field.
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

/// Checks a plan that names a tier and every limit.
pub(crate) fn check_plan(tier: &str, limits: &LimitChanges) -> Result<(), Problem> {
    plan(parse_tier(tier)?, limits.over(&Overrides::default())).map(drop)
}

/// Sets a tenant's tier or its own limits. What is not named stays unchanged.
pub(crate) async fn set_plan(app: &App, new: NewPlan) -> Result<Value, Problem> {
    let NewPlan { tenant_id, tier, limits } = new;
    let missing = || Problem::not_found(format!("there is no tenant `{tenant_id}`"));
    let id: TenantId = tenant_id.parse().map_err(|_| missing())?;
    let tier = tier.as_deref().map(parse_tier).transpose()?;
    let change = |before: &Plan| {
        let tier = tier.map_or_else(|| parse_tier(before.tier()), Ok)?;
        plan(tier, limits.over(&before.overrides()))
    };
    let (store, limiter) = (&app.node().store, &*app.limiters().tenants);
    let after = change_plan(store, limiter, &id, change).await?.ok_or_else(missing)?;
    let mut body = json!(after);
    body["tenant_id"] = id.as_str().into();
    Ok(body)
}

/// A tenant's plan in force, what it has used of its windows and seats, and its block.
pub(super) async fn usage(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let (tenant, usage) = used_by(&app, &id).await?;
    let mut body = json!(usage);
    body["tenant_id"] = json!(tenant.id);
    // The tables count users and their seats, not the limiter.
    body["seats"]["used"] = app.node().store.seats_used(&tenant.id).await?.into();
    Ok(axum::Json(body))
}

pub(crate) async fn used_by(app: &App, id: &str) -> Result<(Arc<Tenant>, TenantUsage), Problem> {
    let tenant = keys::known_tenant(app, id).await?;
    let usage = app.limiters().tenants.usage(tenant.id.as_str(), &tenant.plan).await;
    Ok((tenant, usage.map_err(|error| limits::undecided(&error))?))
}
