//! Changes of a tenant's plan, in the tables and in the limiter.

use tidegate_model::tenant::{Plan, TenantId};
use tidegate_ratelimit::TenantLimiter;
use tidegate_store::{Store, StoreError};

/// Gives a tenant the plan that `change` makes of its present one, in the tables and in the limiter; returns it, or `None`
/// where there is no such tenant.
///
/// The tables are the truth. The limiter is told so that a check on a node that has not yet heard of the change is held to it
/// too; where the limiter can't be told, each node brings the new plan as soon as it reads it.
///
/// # Errors
///
/// As [`Store::change_plan`].
pub async fn change_plan<E: From<StoreError>>(
    store: &Store,
    limiter: &dyn TenantLimiter,
    id: &TenantId,
    change: impl FnOnce(&Plan) -> Result<Plan, E>,
) -> Result<Option<Plan>, E> {
    let Some(plan) = store.change_plan(id, change).await? else { return Ok(None) };
    if let Err(error) = limiter.set_plan(id.as_str(), &plan).await {
        tracing::warn!(%error, "the limiter of tenants was not told of a changed plan; nodes apply it as they read it");
    }
    Ok(Some(plan))
}
