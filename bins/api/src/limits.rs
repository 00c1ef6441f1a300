//! The limits in front of the routes, and what a refusal looks like.

mod adjusting;
mod anomalies;
mod build;
mod door;
mod front;
mod keys;
mod named;
mod quotas;
mod scratch;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tidegate_base::Seldom;
use tidegate_model::tenant::Tenant;
use tidegate_node::node::{Node, StartError};
use tidegate_ratelimit::{CheckError, Decision, Rejection, SharedQuotas, TenantDecision, TenantLimiter, headers};
use tidegate_settings::LimitMode;

use self::anomalies::Anomalies;
pub(crate) use front::Front;
pub(crate) use keys::counted_as;
pub(crate) use named::Named;
pub(crate) use quotas::SetQuotaError;

use crate::problem::Problem;

/// The name of the tenants' quota among the limiters.
pub(crate) const TENANT: &str = "tenant";

/// Every limiter of the API.
pub(crate) struct Limiters {
    /// Everything but probes, by client address.
    pub ddos: Named,
    /// Failed logins, by address and account.
    pub auth: Named,
    /// Reports, by tenant and user.
    pub report: Named,
    /// Anonymous requests, and those of keys and users of tenants without a minute of their own.
    pub api: Named,
    /// A tenant's minute, hour and day.
    pub tenants: Arc<dyn TenantLimiter>,
    /// Whether the tenants' quota is asked, and obeyed.
    pub tenant_mode: LimitMode,
    /// Tenants whose rate is far above their usual one.
    pub anomalies: Arc<Anomalies>,
    /// Quotas that hold on every node, where limits lie on Redis.
    shared: Option<SharedQuotas>,
}

impl Limiters {
    /// Builds them from the settings, on Redis where there is one, and lets the telemetry read them.
    ///
    /// # Errors
    ///
    /// When a limit doesn't fit its algorithm.
    pub(crate) async fn start(node: &Node) -> Result<Self, StartError> {
        let (settings, telemetry, redis) = (&node.settings, &node.telemetry, node.redis());
        let shared = match redis {
            Some(redis) => Some(SharedQuotas::start(redis.limits().clone(), redis.keyspace()).await),
            None => None,
        };
        let live = shared.as_ref().map(SharedQuotas::live_processes).unwrap_or_default();
        let mut limiters = build::all(settings, redis, &live)?;
        limiters.api.be_adjustable(node);
        limiters.anomalies = Anomalies::start(settings.limits.anomaly_interval, telemetry.alerts());
        limiters.follow_quotas(shared);
        for named in limiters.all() {
            telemetry.watch_limiter(named.name(), named.watch());
        }
        let watched = Arc::clone(&limiters.tenants);
        telemetry.watch_limiter(TENANT, move || watched.stats());
        Ok(limiters)
    }

    /// All but the tenants' quota, in the order in which they are asked.
    pub(crate) fn all(&self) -> [&Named; 4] {
        [&self.ddos, &self.auth, &self.report, &self.api]
    }

    /// The limiter of that name.
    ///
    /// # Errors
    ///
    /// 404 if there is none; 422 for `tenant`, which counts each tenant by its own plan.
    pub(crate) fn named(&self, name: &str) -> Result<&Named, Problem> {
        if name == TENANT {
            let detail = "`limiter`: `tenant` counts each tenant by its own plan: name the tenant by its id in `tenant_id`, \
                          or name one of ddos, auth, report and api";
            return Err(Problem::unprocessable("bad-limiter", detail));
        }
        self.all().into_iter().find(|named| named.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            Problem::not_found(format!("there is no limiter `{shown}`; there are ddos, auth, tenant, report and api"))
        })
    }
}

/// Charges one request to `key`. `None` where the limiter is off.
///
/// # Errors
///
/// 429 when the limiter refuses it.
pub(crate) async fn enforce(limiter: &Named, key: &str) -> Result<Option<Decision>, Problem> {
    if limiter.mode() == LimitMode::Off {
        return Ok(None);
    }
    match limiter.limiter().check(key, 1).await {
        Ok(decision @ Decision::Denied(_)) => Err(refused(limiter.name(), &decision)),
        Ok(allowed) => Ok(Some(allowed)),
        Err(error) => Err(undecided(&error)),
    }
}

/// Gives back what [`enforce`] has charged, where the attempt was none that counts.
pub(crate) async fn forgive(limiter: &Named, key: &str) {
    if limiter.mode() != LimitMode::Off {
        // What can't be given back stays charged until its window ends.
        let _ = limiter.limiter().reward(key, 1).await;
    }
}

/// Charges one request to the tenant's quota, and to `client` of the limiter `api` where that counts it too: to both or, where
/// one of them refuses, to neither. `None` for a limit that is off; for the tenant's also where it is only watched and used up.
///
/// The tenant is charged first and given back what `api` refuses. Not the other way round, nor both at once: who goes over `api` is
/// blocked, which must not come of a charge that is about to be taken back; a tenant is never blocked, only refused.
///
/// # Errors
///
/// 429 when a limit is used up.
pub(crate) async fn enforce_tenant(
    limiters: &Limiters,
    tenant: &Tenant,
    client: Option<&str>,
) -> Result<(Option<TenantDecision>, Option<Decision>), Problem> {
    let api = &limiters.api;
    // Whoever goes on after a refusal costs nobody a charge, nor Redis a command.
    if let Some(denied) = client.and_then(|client| api.remembered(client)) {
        return Err(refused(api.name(), &denied));
    }
    let quota = charge_tenant(limiters, tenant).await?;
    let Some(client) = client else { return Ok((quota, None)) };
    match enforce(api, client).await {
        Ok(decision) => Ok((quota, decision)),
        Err(problem) => {
            if quota.is_some() {
                // What can't be given back stays charged until its windows end.
                let _ = limiters.tenants.reward(tenant.id.as_str(), &tenant.plan, 1).await;
            }
            Err(problem)
        }
    }
}

/// Charges one request to the tenant's quota. `None` where nothing was charged: it is off, or only watched and used up.
async fn charge_tenant(limiters: &Limiters, tenant: &Tenant) -> Result<Option<TenantDecision>, Problem> {
    if limiters.tenant_mode == LimitMode::Off {
        return Ok(None);
    }
    let decision = limiters.tenants.check(tenant.id.as_str(), &tenant.plan, 1).await;
    obeyed(limiters.tenant_mode, decision)
}

/// What a mode makes of a decision: a limit on trial refuses nobody, also where it can't decide.
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
        .with("tier", decision.plan.tier().name())
        .headers(|response| announce_tenant(response, &decision)))
}

/// Tells the tenant how much is left.
pub(crate) fn announce_tenant(response: &mut HeaderMap, decision: &TenantDecision) {
    headers::apply_tenant(response, decision);
}

/// The answer to a request that a limiter refuses, with its headers.
fn refused(limiter: &str, decision: &Decision) -> Problem {
    let wait = headers::whole_seconds(decision.retry_after().unwrap_or_default());
    refusal(limiter, wait).headers(|response| headers::apply(response, limiter, decision))
}

fn refusal(limiter: &str, wait: u64) -> Problem {
    let detail = format!("the limit `{limiter}` is used up; try again in {wait} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail).with("limiter", limiter)
}

/// One line a second.
static FULL: Seldom = Seldom::new(Duration::from_secs(1));

/// The answer where a limiter has none.
pub(crate) fn undecided(error: &CheckError) -> Problem {
    match error {
        CheckError::Full { .. } => {
            // Whoever fills it must not fill the log too.
            if let Some(unlogged) = FULL.count() {
                tracing::warn!(%error, unlogged, "a limiter is full of blocked keys");
            }
            Problem::unavailable("overloaded", "too many clients are blocked; try again later")
        }
        CheckError::Store(error) if error.is_transient() => {
            Problem::unavailable("unavailable", "the request can't be counted now")
        }
        other => Problem::internal(other),
    }
}

/// The answer to a request that the limiter in front refuses; the layer adds the headers.
pub(crate) fn refuse(rejection: Rejection<'_>) -> Response {
    let problem = match rejection {
        Rejection::Denied { limiter, denial } => refusal(limiter, headers::whole_seconds(denial.retry_after)),
        Rejection::Failed { error, .. } => undecided(error),
        Rejection::BadKey { reason } => Problem::bad_request("bad-identity", reason),
        Rejection::NoKey { .. } => Problem::internal(&crate::client::NoPeer),
        _ => Problem::unavailable("overloaded", "the request can't be counted now"),
    };
    problem.into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::http::header;
    use tidegate_model::tenant::Plan;
    use tidegate_ratelimit::{Limiter, LiveProcesses, MemoryLimiter, SlidingWindow, Tier};
    use tidegate_settings::RawSettings;
    use tokio::time::Instant;
    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    #[tokio::test]
    async fn a_tenant_is_given_back_what_api_can_not_decide() {
        let settings = RawSettings::load(None, []).unwrap().check().unwrap();
        let mut limiters = build::all(&settings, None, &LiveProcesses::default()).unwrap();
        let full = MemoryLimiter::builder("api", SlidingWindow::new(settings.limits.api.quota)).max_keys(1).build();
        full.block("another", Duration::from_secs(3600)).await.unwrap();
        limiters.api = Named::new("api", full, "sliding_window", settings.limits.api);
        let tenant = Tenant::create("small".parse().unwrap(), "Small".to_owned(), Plan::from(Tier::Free));

        let refused = enforce_tenant(&limiters, &tenant, Some("key:1")).await.err().map(Problem::into_response);
        assert_eq!(refused.map(|response| response.status()), Some(StatusCode::SERVICE_UNAVAILABLE));
        let used =
            async || limiters.tenants.usage("small", &tenant.plan).await.unwrap().windows.map(|window| window.used);
        assert_eq!(used().await, [0; 3]);
        assert!(enforce_tenant(&limiters, &tenant, None).await.is_ok());
        assert_eq!(used().await, [1; 3], "who isn't counted by it is charged as ever");
    }

    #[test]
    fn whoever_can_not_be_counted_is_told_when_to_come_back() {
        let away = tidegate_ratelimit::StoreError::new("away").transient();
        for error in [CheckError::Full { max_keys: 1 }, CheckError::Store(away)] {
            let response = refuse(Rejection::Failed { limiter: "auth", error: &error });
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
            assert!(response.headers().contains_key(header::RETRY_AFTER), "{error}");
        }
    }

    /// Counts the lines of a log.
    struct Lines(Arc<AtomicU64>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_full_limiter_writes_no_more_than_a_line_a_second() {
        let lines = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
            for _ in 0..10_000 {
                undecided(&CheckError::Full { max_keys: 1 });
            }
        });
        let lines = lines.load(Ordering::Relaxed);
        assert!((1..=1 + begun.elapsed().as_secs()).contains(&lines), "{lines}");
    }

    #[test]
    fn a_tenants_quota_on_trial_refuses_nobody_where_it_can_not_decide() {
        let failed = || Err(CheckError::Full { max_keys: 1 });
        assert!(matches!(obeyed(LimitMode::Shadow, failed()), Ok(None)));
        assert!(obeyed(LimitMode::On, failed()).is_err());
    }
}
