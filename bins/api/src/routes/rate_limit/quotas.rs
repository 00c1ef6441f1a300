//! Changes the quota of a running limiter.

use serde_json::{Value, json};
use tidegate_ratelimit::Quota;

use tidegate_web::app::App;
use tidegate_web::limits::{Named, SetQuotaError};
use tidegate_web::problem::Problem;

/// Returns a limiter whose quota may be changed, and that quota. `None` for the one from its
/// settings.
pub(crate) fn check<'a>(
    app: &'a App,
    limiter: &str,
    quota: Option<&str>,
) -> Result<(&'a Named, Option<Quota>), Problem> {
    let named = app.limiters().named(limiter)?;
    let read = quota.map(str::parse::<Quota>).transpose().map_err(|error| wrong(quota, &error))?;
    Ok((named, read))
}

fn wrong(quota: Option<&str>, error: &dyn std::error::Error) -> Problem {
    let shown: String = quota.unwrap_or_default().chars().take(64).collect();
    Problem::unprocessable("bad-quota", format!("`quota`: `{shown}`: {error}"))
}

/// Sets another quota, or restores the one from the settings. Earlier charges stay.
pub(crate) async fn set(app: &App, limiter: &str, quota: Option<&str>) -> Result<Value, Problem> {
    let (named, read) = check(app, limiter, quota)?;
    app.limiters().set_quota(named, read).await.map_err(|error| match error {
        SetQuotaError::Quota(error) => wrong(quota, &error),
        SetQuotaError::Unavailable => {
            let detail = "the other nodes can't be notified of the quota now; it is unchanged here";
            Problem::unavailable("unavailable", detail)
        }
    })?;
    Ok(json!({"limiter": named.name(), "quota": named.quota().to_string()}))
}
