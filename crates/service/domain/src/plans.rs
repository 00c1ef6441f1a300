//! Changes a tenant's plan in the tables and in the limiter.

use tidegate_model::tenant::{Plan, TenantId};
use tidegate_ratelimit::TenantLimiter;
use tidegate_store::{Store, StoreError};

/// Sets the tenant's plan to the one that `change` derives from the current plan, in the tables and
/// in the limiter. Returns the new plan, or `None` if there is no such tenant.
///
/// The tables are authoritative. The limiter is updated too, so that a node which has not seen the
/// change yet already enforces it. If that update fails, each node applies the new plan as soon as
/// it reads it.
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
        tracing::warn!(%error, "the tenants' limiter could not be updated with a changed plan; nodes apply the plan when they read it");
    }
    Ok(Some(plan))
}
