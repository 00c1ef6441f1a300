//! One key of a limiter: reset, block, unblock.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_base::clock;
use tidegate_model::tenant::{Tenant, TenantId};
use tidegate_ratelimit::CheckError;

use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::limits;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Maximum duration of a manual block: 366 days.
const MAX_BLOCK_SECONDS: u64 = 366 * 24 * 3600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyOfLimiter {
    pub(crate) limiter: String,
    pub(crate) key: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Reset {
    /// Whether it was known. On Redis, another process may repeat a refusal for up to a second.
    reset: bool,
}

pub(crate) async fn reset(
    State(app): State<App>,
    Query(query): Query<KeyOfLimiter>,
) -> Result<axum::Json<Reset>, Problem> {
    Ok(axum::Json(Reset { reset: forget(&app, &query).await? }))
}

/// Forgets a key's usage, its block and its violations. Returns whether the key was known.
///
/// On Redis each other process may repeat a refusal for up to a second: its `DenyCache` does not
/// see the reset.
pub(crate) async fn forget(app: &App, of: &KeyOfLimiter) -> Result<bool, Problem> {
    let key = counted(app, &of.limiter, &of.key).await?;
    let was_known = if of.limiter == limits::TENANT {
        app.limiters().tenants.reset(&key).await
    } else {
        app.limiters().named(&of.limiter)?.limiter().reset(&key).await
    };
    was_known.map_err(|error| wrong_key(&error))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBlock {
    pub(crate) limiter: String,
    pub(crate) key: String,
    /// At least one, at most 366 days.
    #[schemars(range(min = 1, max = MAX_BLOCK_SECONDS))]
    pub(crate) seconds: u64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Blocked {
    limiter: String,
    key: String,
    blocked_until: DateTime<Utc>,
}

pub(crate) async fn block(State(app): State<App>, Json(new): Json<NewBlock>) -> Result<axum::Json<Blocked>, Problem> {
    shut_out(&app, &new).await.map(axum::Json)
}

/// Refuses all requests of a key for a time, on every node.
pub(crate) async fn shut_out(app: &App, new: &NewBlock) -> Result<Blocked, Problem> {
    let limiter = app.limiters();
    let named = (new.limiter != limits::TENANT).then(|| limiter.named(&new.limiter)).transpose()?;
    if !(1..=MAX_BLOCK_SECONDS).contains(&new.seconds) {
        let detail = format!("`seconds` is from 1 to {MAX_BLOCK_SECONDS}; DELETE ends a block");
        return Err(Problem::unprocessable("bad-block", detail));
    }
    let length = Duration::from_secs(new.seconds);
    let key = counted(app, &new.limiter, &new.key).await?;
    let blocked = match named {
        Some(named) => named.limiter().block(&key, length).await,
        None => limiter.tenants.block(&key, length).await,
    };
    blocked.map_err(|error| wrong_key(&error))?;
    Ok(Blocked { limiter: new.limiter.clone(), key: key.into_owned(), blocked_until: clock::now() + length })
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Unblocked {
    /// Whether it was blocked. On Redis, another process may repeat a refusal for up to a second.
    unblocked: bool,
}

pub(crate) async fn unblock(
    State(app): State<App>,
    Query(query): Query<KeyOfLimiter>,
) -> Result<axum::Json<Unblocked>, Problem> {
    Ok(axum::Json(Unblocked { unblocked: let_in(&app, &query).await? }))
}

/// Ends a key's block and forgets its violations. Its usage stays. Returns whether it was blocked.
///
/// As after [`forget`], another process on Redis may repeat a refusal for up to a second.
pub(crate) async fn let_in(app: &App, of: &KeyOfLimiter) -> Result<bool, Problem> {
    let key = counted(app, &of.limiter, &of.key).await?;
    let was_blocked = if of.limiter == limits::TENANT {
        app.limiters().tenants.unblock(&key).await
    } else {
        app.limiters().named(&of.limiter)?.limiter().unblock(&key).await
    };
    was_blocked.map_err(|error| wrong_key(&error))
}

/// The key under which the limiter counts `key`. For the tenants' quota, that tenant has to exist.
pub(crate) async fn counted<'a>(app: &App, limiter: &str, key: &'a str) -> Result<Cow<'a, str>, Problem> {
    let counted = limits::counted_as(limiter, key, app.settings().limits.ipv6_prefix)?;
    if limiter == limits::TENANT {
        known_tenant(app, key).await?;
    }
    Ok(counted)
}

/// Returns the tenant with that id from the tables.
///
/// # Errors
///
/// 404 if there is none.
pub(crate) async fn known_tenant(app: &App, id: &str) -> Result<Arc<Tenant>, Problem> {
    app.catch_up().await?;
    let missing = || {
        let shown: String = id.chars().take(64).collect();
        Problem::not_found(format!("there is no tenant `{shown}`"))
    };
    let id: TenantId = id.parse().map_err(|_| missing())?;
    app.tenants().get(&id).await?.ok_or_else(missing)
}

/// The problem of a bad key, or of the store behind it.
pub(super) fn wrong_key(error: &CheckError) -> Problem {
    match error {
        CheckError::KeyTooLong { .. } => Problem::unprocessable("bad-key", format!("`key`: {error}")),
        _ => limits::undecided(error),
    }
}
