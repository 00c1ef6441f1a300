//! Decisions for services in any language.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_app::clock;
use tidegate_app::settings::LimitMode;
use tidegate_app::tenant::TenantId;
use tidegate_ratelimit::{CheckError, Decision, TenantDecision};

use super::keys::wrong_key;
use crate::app::App;
use crate::json::Json;
use crate::limits;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    limiter: String,
    key: String,
    #[serde(default = "one")]
    cost: u64,
    #[serde(default)]
    peek: bool,
}

fn one() -> u64 {
    1
}

/// Charges a key, or only looks. Always 200 where there is a decision: the answer is no, the question was right.
pub(crate) async fn check(
    State(app): State<App>,
    Json(question): Json<Question>,
) -> Result<axum::Json<Value>, Problem> {
    if question.cost == 0 {
        let detail = "`cost` is at least 1; to look without charging, set `peek`";
        return Err(Problem::unprocessable("bad-cost", detail));
    }
    if question.key.is_empty() {
        return Err(Problem::unprocessable("bad-key", "`key` is empty"));
    }
    if question.limiter == limits::TENANT {
        return of_tenant(&app, &question).await;
    }
    let named = app.limiters().named(&question.limiter)?;
    if named.mode() == LimitMode::Off {
        let limit = named.limiter().quota().limit();
        return Ok(told(named.name(), true, limit, [limit, 0], None, None));
    }
    let (limiter, key, cost) = (named.limiter(), question.key.as_str(), question.cost);
    let decision = if question.peek { limiter.peek(key, cost).await } else { limiter.check(key, cost).await };
    let decision: Decision = decision.map_err(|error| unanswered(&error))?;
    Ok(told(
        named.name(),
        decision.is_allowed(),
        decision.limit(),
        [decision.remaining(), whole_ms(decision.reset_after())],
        decision.retry_after().map(whole_ms),
        decision.blocked_for(),
    ))
}

/// By the plan of the tenant whose id the key is; told is the window that binds.
async fn of_tenant(app: &App, question: &Question) -> Result<axum::Json<Value>, Problem> {
    app.catch_up().await?;
    let missing = || {
        let shown: String = question.key.chars().take(64).collect();
        Problem::not_found(format!("there is no tenant `{shown}`"))
    };
    let id: TenantId = question.key.parse().map_err(|_| missing())?;
    let tenant = app.tenants().get(&id).await?.ok_or_else(missing)?;
    let (limiter, plan, cost) = (&*app.limiters().tenants, &tenant.plan, question.cost);
    let decision = if question.peek {
        limiter.peek(id.as_str(), plan, cost).await
    } else {
        limiter.check(id.as_str(), plan, cost).await
    };
    let decision: TenantDecision = decision.map_err(|error| unanswered(&error))?;
    let binding = decision.binding();
    let axum::Json(mut body) = told(
        limits::TENANT,
        decision.allowed,
        binding.decision.limit(),
        [binding.decision.remaining(), whole_ms(binding.decision.reset_after())],
        decision.retry_after().map(whole_ms),
        decision.blocked_for,
    );
    body["window"] = binding.name.into();
    Ok(axum::Json(body))
}

fn unanswered(error: &CheckError) -> Problem {
    match error {
        CheckError::CostExceedsLimit { limit, .. } => {
            Problem::unprocessable("cost-exceeds-limit", format!("`cost`: {error}")).with("limit", *limit)
        }
        other => wrong_key(other),
    }
}

fn told(
    limiter: &str,
    allowed: bool,
    limit: u64,
    [remaining, reset_after_ms]: [u64; 2],
    retry_after_ms: Option<u64>,
    blocked_for: Option<std::time::Duration>,
) -> axum::Json<Value> {
    axum::Json(json!({
        "allowed": allowed,
        "limiter": limiter,
        "limit": limit,
        "remaining": remaining,
        "reset_after_ms": reset_after_ms,
        "retry_after_ms": retry_after_ms,
        "blocked_until": blocked_for.map(|left| clock::now() + left),
    }))
}

/// Rounded up, so that who obeys is never early.
fn whole_ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
