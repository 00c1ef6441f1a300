//! Another quota for a limiter, while it runs.

use serde_json::{Value, json};
use tidegate_ratelimit::Quota;

use crate::app::App;
use crate::limits::{self, SetQuotaError};
use crate::problem::Problem;

/// Gives a limiter another quota, or that of its settings back; what was charged stays charged.
pub(crate) async fn set(app: &App, limiter: &str, quota: Option<&str>) -> Result<Value, Problem> {
    if limiter == limits::TENANT {
        let detail = "`limiter`: each tenant has limits of its own; name it by `tenant_id`";
        return Err(Problem::unprocessable("bad-limiter", detail));
    }
    let named = app.limiters().named(limiter)?;
    let wrong = |error: &dyn std::error::Error| {
        let shown: String = quota.unwrap_or_default().chars().take(64).collect();
        Problem::unprocessable("bad-quota", format!("`quota`: `{shown}`: {error}"))
    };
    let quota = quota.map(str::parse::<Quota>).transpose().map_err(|error| wrong(&error))?;
    app.limiters().set_quota(named, quota).await.map_err(|error| match error {
        SetQuotaError::Quota(error) => wrong(&error),
        SetQuotaError::Unavailable => {
            let detail = "the other nodes can't be told of the quota now; it is as it was here";
            Problem::unavailable("unavailable", detail)
        }
    })?;
    Ok(json!({"limiter": named.name(), "quota": named.limiter().quota().to_string()}))
}
