//! The limits in front of the routes, and what a refusal looks like.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tidegate_app::redis::Redis;
use tidegate_app::settings::{LimitSettings, Settings};
use tidegate_app::telemetry::Telemetry;
use tidegate_app::tenant::Tenant;
use tidegate_ratelimit::{
    BlockPolicy, CheckError, Decision, FallbackLimiter, FallbackTenantLimiter, FixedWindow, Limiter, MemoryLimiter,
    MemoryLimiterBuilder, MemoryTenantLimiter, RedisAlgorithm, RedisLimiter, RedisLimiterBuilder, RedisTenantLimiter,
    Rejection, SlidingWindow, SystemClock, TenantDecision, TenantLimiter, UnsupportedAlgorithm, headers,
};

use crate::problem::Problem;

/// Clients that one limiter remembers; beyond, the least charged are forgotten.
const MAX_CLIENTS: usize = 100_000;
/// One strike of a repeat offender is forgotten after so long without a block.
const STRIKE_DECAY: Duration = Duration::from_secs(3600);
/// Tenants that are remembered.
const MAX_TENANTS: usize = 100_000;

/// Every limiter of the API.
pub(crate) struct Limiters {
    /// Everything but probes, by client address.
    pub ddos: Arc<dyn Limiter>,
    /// Anonymous and per-user application requests.
    pub api: Arc<dyn Limiter>,
    /// A tenant's minute, hour and day.
    pub tenants: Arc<dyn TenantLimiter>,
}

impl Limiters {
    /// Builds them from the settings, on Redis where there is one, and lets the telemetry read them.
    ///
    /// # Errors
    ///
    /// When Redis can't decide a limiter.
    pub(crate) fn new(
        settings: &Settings,
        telemetry: &Telemetry,
        redis: Option<&Redis>,
    ) -> Result<Self, UnsupportedAlgorithm> {
        let ddos = limiter("ddos", FixedWindow::new(settings.ddos.quota), &settings.ddos, redis)?;
        let api = limiter("api", SlidingWindow::new(settings.api.quota), &settings.api, redis)?;
        let tenants = tenant_limiter(redis);
        for (name, limiter) in [("ddos", &ddos), ("api", &api)] {
            let limiter = Arc::clone(limiter);
            telemetry.watch_limiter(name, move || limiter.stats());
        }
        let watched = Arc::clone(&tenants);
        telemetry.watch_limiter("tenant", move || watched.stats());
        Ok(Self { ddos, api, tenants })
    }

    /// The limiter of that name; tenants are not counted by one.
    pub(crate) fn named(&self, name: &str) -> Option<&dyn Limiter> {
        [&*self.ddos, &*self.api].into_iter().find(|limiter| limiter.name() == name)
    }
}

/// On Redis it counts for all processes together; while Redis is away, this one decides by itself.
fn limiter<A: RedisAlgorithm + Send + Sync + 'static>(
    name: &'static str,
    algorithm: A,
    settings: &LimitSettings,
    redis: Option<&Redis>,
) -> Result<Arc<dyn Limiter>, UnsupportedAlgorithm>
where
    A::State: Send + Sync + 'static,
{
    let block = (!settings.block.is_zero())
        .then(|| BlockPolicy::fixed(settings.block).escalate(BlockPolicy::MAX, STRIKE_DECAY));
    let Some(redis) = redis else {
        let builder = MemoryLimiter::builder(name, algorithm).max_keys(MAX_CLIENTS);
        return Ok(Arc::new(block.into_iter().fold(builder, MemoryLimiterBuilder::block).build()));
    };
    let shared = RedisLimiter::builder(name, algorithm, redis.limits().clone(), redis.keyspace().clone());
    let shared = block.into_iter().fold(shared, RedisLimiterBuilder::block).build()?;
    Ok(Arc::new(FallbackLimiter::builder(shared).max_keys(MAX_CLIENTS).build()))
}

fn tenant_limiter(redis: Option<&Redis>) -> Arc<dyn TenantLimiter> {
    let Some(redis) = redis else {
        return Arc::new(MemoryTenantLimiter::new(SystemClock::default(), MAX_TENANTS));
    };
    let shared = RedisTenantLimiter::builder("tenant", redis.limits().clone(), redis.keyspace().clone()).build();
    Arc::new(FallbackTenantLimiter::builder(shared).max_keys(MAX_TENANTS).build())
}

/// Charges one request to `key`.
///
/// # Errors
///
/// 429 when the limiter refuses it.
pub(crate) async fn enforce(limiter: &dyn Limiter, key: &str) -> Result<Decision, Problem> {
    match limiter.check(key, 1).await {
        Ok(decision @ Decision::Denied(_)) => {
            let wait = headers::whole_seconds(decision.retry_after().unwrap_or_default());
            Err(refusal(limiter.name(), wait).headers(|response| headers::apply(response, limiter.name(), &decision)))
        }
        Ok(allowed) => Ok(allowed),
        Err(error) => Err(undecided(&error)),
    }
}

/// Charges one request to the tenant's quota.
///
/// # Errors
///
/// 429 when one of its windows is used up.
pub(crate) async fn enforce_tenant(limiters: &Limiters, tenant: &Tenant) -> Result<TenantDecision, Problem> {
    let decision = limiters.tenants.check(tenant.id.as_str(), &tenant.plan, 1).await;
    let decision = decision.map_err(|error| undecided(&error))?;
    if decision.allowed {
        return Ok(decision);
    }
    let wait = headers::whole_seconds(decision.retry_after().unwrap_or_default());
    Err(refusal("tenant", wait)
        .with("window", decision.binding().name)
        .with("tier", decision.plan.tier().name())
        .headers(|response| announce_tenant(response, &decision)))
}

/// Tells the tenant how much is left.
pub(crate) fn announce_tenant(response: &mut HeaderMap, decision: &TenantDecision) {
    headers::apply_tenant(response, decision);
}

fn refusal(limiter: &str, wait: u64) -> Problem {
    let detail = format!("the limit `{limiter}` is used up; try again in {wait} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail).with("limiter", limiter)
}

/// The answer where a limiter has none.
pub(crate) fn undecided(error: &CheckError) -> Problem {
    match error {
        CheckError::Full { .. } => {
            tracing::warn!(%error, "a limiter is full of blocked keys");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many clients are blocked; try again later")
        }
        CheckError::Store(error) if error.is_transient() => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the request can't be counted now")
                .try_again_later()
        }
        other => Problem::internal(other),
    }
}

/// The answer to a request that the limiter in front refuses; the layer adds the headers.
pub(crate) fn refuse(rejection: Rejection<'_>) -> Response {
    let problem = match rejection {
        Rejection::Denied { limiter, denial } => refusal(limiter, headers::whole_seconds(denial.retry_after)),
        Rejection::Failed { error, .. } => undecided(error),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "the request can't be counted now"),
    };
    problem.into_response()
}
