//! Another quota for a limiter, while it runs.

use serde_json::{Value, json};
use tidegate_ratelimit::Quota;

use crate::app::App;
use crate::limits;
use crate::problem::Problem;

/// Gives a limiter another quota on every node; what was charged stays charged.
pub(super) async fn set(app: &App, limiter: &str, quota: &str) -> Result<axum::Json<Value>, Problem> {
    if limiter == limits::TENANT {
        let detail = "`limiter`: each tenant has limits of its own; name it by `tenant_id`";
        return Err(Problem::unprocessable("bad-limiter", detail));
    }
    let named = app.limiters().named(limiter)?;
    let wrong = |error: &dyn std::error::Error| {
        let shown: String = quota.chars().take(64).collect();
        Problem::unprocessable("bad-quota", format!("`quota`: `{shown}`: {error}"))
    };
    let quota: Quota = quota.parse().map_err(|error| wrong(&error))?;
    app.limiters().set_quota(named, quota).await.map_err(|error| match error {
        limits::SetQuotaError::Quota(error) => wrong(&error),
        limits::SetQuotaError::Store => {
            let detail = "the quota can't be told to the other nodes now; nothing was changed";
            Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).try_again_later()
        }
    })?;
    Ok(axum::Json(json!({"limiter": named.name(), "quota": quota.to_string()})))
}
