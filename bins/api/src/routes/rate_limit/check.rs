//! Decisions for services in any language.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_base::clock;
use tidegate_model::tenant::Plan;
use tidegate_ratelimit::{CheckError, Decision, TenantDecision};
use tidegate_settings::LimitMode;

use super::keys::{known_tenant, wrong_key};
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::limits;
use tidegate_web::problem::Problem;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    limiter: String,
    key: String,
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    cost: u64,
    #[serde(default)]
    peek: bool,
}

/// The response to a [`Question`].
#[derive(Serialize, JsonSchema)]
pub(crate) struct Answer {
    allowed: bool,
    limiter: String,
    limit: u64,
    remaining: u64,
    reset_after_ms: u64,
    retry_after_ms: Option<u64>,
    blocked_until: Option<DateTime<Utc>>,
    /// The window that binds, for a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    window: Option<&'static str>,
}

fn one() -> u64 {
    1
}

/// Charges a key, or only checks it. A decision is always a 200: the answer may be no, but the
/// request was valid.
pub(crate) async fn check(
    State(app): State<App>,
    Json(question): Json<Question>,
) -> Result<axum::Json<Answer>, Problem> {
    if question.cost == 0 {
        let detail = "`cost` is at least 1; to look without charging, set `peek`";
        return Err(Problem::unprocessable("bad-cost", detail));
    }
    // The same key as for the client's own requests, so that a manual block applies here too.
    let key = limits::counted_as(&question.limiter, &question.key, app.settings().limits.ipv6_prefix)?;
    if question.limiter == limits::TENANT {
        return of_tenant(&app, &question).await;
    }
    let named = app.limiters().named(&question.limiter)?;
    if named.mode() == LimitMode::Off {
        let limit = named.limiter().quota().limit();
        return Ok(told(named.name(), true, limit, [limit, 0], None, None));
    }
    let (limiter, cost) = (named.limiter(), question.cost);
    let decision = if question.peek { limiter.peek(&key, cost).await } else { limiter.check(&key, cost).await };
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

/// Decides by the plan of the tenant whose id is the key. The response has the binding window.
async fn of_tenant(app: &App, question: &Question) -> Result<axum::Json<Answer>, Problem> {
    let tenant = known_tenant(app, &question.key).await?;
    let id = &tenant.id;
    let (limiter, plan, cost) = (&*app.limiters().tenants, &tenant.plan, question.cost);
    let mode = app.limiters().tenant_mode;
    if mode == LimitMode::Off {
        return Ok(uncounted(plan));
    }
    let decision = if question.peek {
        limiter.peek(id.as_str(), plan, cost).await
    } else {
        limiter.check(id.as_str(), plan, cost).await
    };
    let decision: TenantDecision = match decision {
        Ok(decision) => decision,
        Err(_) if mode == LimitMode::Shadow => return Ok(uncounted(plan)),
        Err(error) => return Err(unanswered(&error)),
    };
    let binding = decision.binding();
    // A limit in shadow mode reports the rest, and neither refuses nor delays.
    let is_enforced = mode == LimitMode::On;
    Ok(with_window(
        binding.name,
        told(
            limits::TENANT,
            decision.allowed || !is_enforced,
            binding.decision.limit(),
            [binding.decision.remaining(), whole_ms(binding.decision.reset_after())],
            decision.retry_after().filter(|_| is_enforced).map(whole_ms),
            decision.blocked_for.filter(|_| is_enforced),
        ),
    ))
}

/// Admits a tenant whose quota is off, with the per-minute limit of its plan.
fn uncounted(plan: &Plan) -> axum::Json<Answer> {
    let limit = plan.limits().per_minute();
    with_window("minute", told(limits::TENANT, true, limit, [limit, 0], None, None))
}

fn with_window(name: &'static str, axum::Json(answer): axum::Json<Answer>) -> axum::Json<Answer> {
    axum::Json(Answer { window: Some(name), ..answer })
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
) -> axum::Json<Answer> {
    axum::Json(Answer {
        allowed,
        limiter: limiter.to_owned(),
        limit,
        remaining,
        reset_after_ms,
        retry_after_ms,
        blocked_until: blocked_for.map(|left| clock::now() + left),
        window: None,
    })
}

/// Rounded up, so that an obedient client is never early.
fn whole_ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
