//! Charges a request to the limiters that count it.

use axum::http::HeaderMap;
use tidegate_model::tenant::Tenant;
use tidegate_ratelimit::{CheckError, Decision, TenantDecision, headers};
use tidegate_settings::LimitMode;

use super::refusal::{refusal, refused, undecided};
use super::{Limiters, Named, TENANT};
use crate::problem::Problem;

/// Charges one request to `key`. `None` where the limiter is off.
///
/// # Errors
///
/// 429 when the limiter refuses it.
pub async fn enforce(limiter: &Named, key: &str) -> Result<Option<Decision>, Problem> {
    if limiter.mode() == LimitMode::Off {
        return Ok(None);
    }
    match limiter.limiter().check(key, 1).await {
        Ok(decision @ Decision::Denied(_)) => Err(refused(limiter.name(), &decision)),
        Ok(allowed) => Ok(Some(allowed)),
        Err(error) => Err(undecided(&error)),
    }
}

/// Refunds what [`enforce`] has charged, for an attempt that does not count.
pub async fn forgive(limiter: &Named, key: &str) {
    if limiter.mode() != LimitMode::Off {
        // A charge that cannot be refunded stays until its window ends.
        let _ = limiter.limiter().reward(key, 1).await;
    }
}

/// Charges one request to the tenant's quota and, if the limiter `api` counts it too, to `client`:
/// to both or, if one refuses, to neither. `None` for a limit that is off, and for a tenant's limit
/// on trial that is used up.
///
/// The tenant is charged first and refunded if `api` refuses. The reverse order could block a
/// client for a charge that is refunded a moment later. A tenant is never blocked, only refused.
///
/// # Errors
///
/// 429 when a limit is used up.
pub async fn enforce_tenant(
    limiters: &Limiters,
    tenant: &Tenant,
    client: Option<&str>,
) -> Result<(Option<TenantDecision>, Option<Decision>), Problem> {
    let api = &limiters.api;
    // A client that continues after a refusal costs no charge and no Redis command.
    if let Some(denied) = client.and_then(|client| api.remembered(client)) {
        return Err(refused(api.name(), &denied));
    }
    let quota = charge_tenant(limiters, tenant).await?;
    let Some(client) = client else { return Ok((quota, None)) };
    match enforce(api, client).await {
        Ok(decision) => Ok((quota, decision)),
        Err(problem) => {
            if quota.is_some() {
                // A charge that cannot be refunded stays until its windows end.
                let _ = limiters.tenants.reward(tenant.id.as_str(), &tenant.plan, 1).await;
            }
            Err(problem)
        }
    }
}

/// Charges the tenant's quota. `None` if nothing was charged: it is off, or on trial and used up.
async fn charge_tenant(limiters: &Limiters, tenant: &Tenant) -> Result<Option<TenantDecision>, Problem> {
    if limiters.tenant_mode == LimitMode::Off {
        return Ok(None);
    }
    let decision = limiters.tenants.check(tenant.id.as_str(), &tenant.plan, 1).await;
    obeyed(limiters.tenant_mode, decision)
}

/// Applies a mode to a decision: a limit on trial never refuses, even if it can't decide.
fn obeyed(mode: LimitMode, decision: Result<TenantDecision, CheckError>) -> Result<Option<TenantDecision>, Problem> {
    let decision = match decision {
        Ok(decision) if decision.allowed => return Ok(Some(decision)),
        _ if mode != LimitMode::On => return Ok(None),
        Ok(decision) => decision,
        Err(error) => return Err(undecided(&error)),
    };
    let wait = headers::whole_seconds(decision.retry_after().unwrap_or_default());
    Err(refusal(TENANT, wait)
        .with("window", decision.binding().name)
        .with("tier", decision.plan.tier())
        .headers(|response| announce_tenant(response, &decision)))
}

/// Announces the rest of the tenant's quota.
pub fn announce_tenant(response: &mut HeaderMap, decision: &TenantDecision) {
    headers::apply_tenant(response, decision);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use tidegate_model::tenant::Plan;
    use tidegate_ratelimit::{Limiter, LiveProcesses, MemoryLimiter, SlidingWindow, Tier};
    use tidegate_settings::RawSettings;

    use super::super::build;
    use super::*;

    #[tokio::test]
    async fn a_tenant_is_given_back_what_api_can_not_decide() {
        let settings = RawSettings::load(None, []).unwrap().check().unwrap();
        let mut limiters = build::all(&settings, None, &LiveProcesses::default()).unwrap();
        let full = MemoryLimiter::builder("api", SlidingWindow::new(settings.limits.api.quota)).max_keys(1).build();
        full.block("another", Duration::from_secs(3600)).await.unwrap();
        limiters.api = Named::new("api", full, "sliding_window", settings.limits.api);
        let tenant = Tenant::create("small".parse().unwrap(), "Small".to_owned(), Plan::from(Tier::FREE));

        let refused = enforce_tenant(&limiters, &tenant, Some("key:1")).await.err().map(Problem::into_response);
        assert_eq!(refused.map(|response| response.status()), Some(StatusCode::SERVICE_UNAVAILABLE));
        let used =
            async || limiters.tenants.usage("small", &tenant.plan).await.unwrap().windows.map(|window| window.used);
        assert_eq!(used().await, [0; 3]);
        assert!(enforce_tenant(&limiters, &tenant, None).await.is_ok());
        assert_eq!(used().await, [1; 3], "who isn't counted by it is charged as ever");
    }

    #[test]
    fn a_tenants_quota_in_shadow_mode_refuses_no_client_without_a_decision() {
        let failed = || Err(CheckError::Full { max_keys: 1 });
        assert!(matches!(obeyed(LimitMode::Shadow, failed()), Ok(None)));
        assert!(obeyed(LimitMode::On, failed()).is_err());
    }
}
