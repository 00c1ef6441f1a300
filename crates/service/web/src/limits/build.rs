//! From settings to limiters: the only file that knows which limiter wraps which.
//!
//! In memory, a limiter is itself. On Redis, from the outside in: a cap on new keys, remembered
//! denials, a fallback, the script. For the limiter in front, a sketch decides about new keys
//! beyond the cap, and its lists decide before all of that.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_node::node::{Node, StartError};
use tidegate_outgoing::redis::Redis;
use tidegate_ratelimit::{
    BlockPolicy, Clock, Decision, DenyCache, Exempt, FallbackLimiter, FallbackTenantLimiter, KeyLists, LeasedLimiter,
    Limiter, Listed, LiveProcesses, MemoryLimiter, MemoryLimiterBuilder, MemoryTenantLimiter, NewKeys, OutagePolicy,
    RedisAlgorithm, RedisLimiter, RedisLimiterBuilder, RedisTenantLimiter, SharedQuotas, SketchLimiter,
    SketchLimiterBuilder, SlidingLog, SlidingWindow, TenantLimiter,
};
use tidegate_settings::{LimitSettings, LimitsSettings, ListSettings, Settings};

use super::anomalies::Anomalies;
use super::guarded::Guarded;
use super::{Limiters, Named, TENANT};

/// Clients that one limiter remembers; beyond, the least charged are forgotten.
const MAX_CLIENTS: usize = 100_000;
/// The number of segments of the sketch's own window. It counts each request, so that the cost of
/// one key on Redis matters.
const FRONT_SEGMENTS: NonZeroU16 = NonZeroU16::new(20).expect("20 is not zero");
/// One strike of a repeat offender is forgotten after so long without a block.
const STRIKE_DECAY: Duration = Duration::from_secs(3600);
/// Clients of one limiter whose rate is remembered for leases.
const MAX_LEASED: usize = 10_000;
const MAX_TENANTS: usize = 100_000;

impl Limiters {
    /// Builds them from the settings, on Redis if there is one, and registers them with the
    /// telemetry.
    ///
    /// # Errors
    ///
    /// When a limit doesn't fit its algorithm.
    pub async fn start(node: &Node) -> Result<Self, StartError> {
        let (settings, telemetry, redis) = (&node.settings, &node.telemetry, node.redis());
        let shared = match redis {
            Some(redis) => Some(SharedQuotas::start(redis.limits().clone(), redis.keyspace()).await),
            None => None,
        };
        let live = shared.as_ref().map(SharedQuotas::live_processes).unwrap_or_default();
        let mut limiters = all(settings, redis, &live)?;
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
}

/// Builds them without what a node adds.
pub(super) fn all(settings: &Settings, redis: Option<&Redis>, live: &LiveProcesses) -> Result<Limiters, StartError> {
    let limits = &settings.limits;
    let outage = OutagePolicy::LocalShare { instances: limits.instances };
    let build = Build { redis, outage, live, limits };
    let log = |settings: &LimitSettings| SlidingLog::new(settings.quota).map_err(StartError::Limit);
    Ok(Limiters {
        ddos: build.sketch_limiter("ddos", &limits.ddos)?,
        auth: build.named("auth", log(&limits.auth)?, &limits.auth)?,
        report: build.named("report", log(&limits.report)?, &limits.report)?,
        api: build.named("api", SlidingWindow::new(limits.api.quota), &limits.api)?,
        tenants: build.tenants(),
        tenant_mode: limits.tenant_mode,
        anomalies: Arc::new(Anomalies::new(limits.anomaly_interval, Clock::system())),
        shared: None,
    })
}

struct Build<'a> {
    redis: Option<&'a Redis>,
    outage: OutagePolicy,
    live: &'a LiveProcesses,
    limits: &'a LimitsSettings,
}

impl Build<'_> {
    fn named<A>(&self, name: &'static str, algorithm: A, settings: &LimitSettings) -> Result<Named, StartError>
    where
        A: RedisAlgorithm + Send + Sync + 'static,
        A::State: Send + Sync + 'static,
    {
        let kind = algorithm.name();
        Ok(match self.redis {
            Some(redis) => {
                let (limiter, remembered) = self.shared(redis, name, algorithm, settings)?;
                Named::new(name, limiter, kind, *settings).remembering(remembered)
            }
            None => {
                let builder = MemoryLimiter::builder(name, algorithm).max_keys(MAX_CLIENTS);
                let limiter = Arc::new(block(settings).into_iter().fold(builder, MemoryLimiterBuilder::block).build());
                let remembered = Arc::clone(&limiter);
                Named::new(name, limiter, kind, *settings).remembering(move |key| remembered.known_denial(key, 1))
            }
        })
    }

    /// In fixed memory; on Redis a count for all nodes, and the sketch for keys that Redis is
    /// spared.
    fn sketch_limiter(&self, name: &'static str, settings: &LimitSettings) -> Result<Named, StartError> {
        let sketch = SketchLimiter::builder(name).quota(settings.quota).without_block();
        let kind = "sketch_limiter";
        Ok(match self.redis {
            Some(redis) => {
                // Not a window of the clock: a client that starts late in one would stay just below
                // each.
                let counted = SlidingWindow::with_segments(settings.quota, FRONT_SEGMENTS);
                let (inner, _) = self.shared(redis, name, counted, settings)?;
                self.listed(name, Guarded::new(sketch.build(), inner), kind, *settings)
            }
            None => {
                let sketch = block(settings).into_iter().fold(sketch, SketchLimiterBuilder::block).build();
                self.listed(name, sketch, kind, *settings)
            }
        })
    }

    /// Inner its lists, where there are any.
    fn listed(
        &self,
        name: &'static str,
        limiter: impl Limiter + 'static,
        kind: &'static str,
        settings: LimitSettings,
    ) -> Named {
        let ListSettings { allow, deny } = &self.limits.ddos_lists;
        if allow.is_empty() && deny.is_empty() {
            return Named::new(name, limiter, kind, settings);
        }
        let lists = KeyLists::new();
        let network = |network: &IpNet| Listed::Network(*network);
        lists.replace(allow.iter().map(network), deny.iter().map(network));
        Named::new(name, Exempt::new(limiter, lists), kind, settings).listing(self.limits.ddos_lists.clone())
    }

    /// One script for all processes, inner what spares it calls: local blocks and counts in an
    /// outage, remembered denials, a cap on new keys. Also returns the lookup of remembered
    /// denials. It leaves out local blocks, which another node may have ended.
    fn shared<A>(
        &self,
        redis: &Redis,
        name: &'static str,
        algorithm: A,
        settings: &LimitSettings,
    ) -> Result<(NewKeys<impl Limiter + use<A>>, impl Fn(&str) -> Option<Decision> + Send + Sync + use<A>), StartError>
    where
        A: RedisAlgorithm + Send + Sync + 'static,
        A::State: Send + Sync + 'static,
    {
        let shared = RedisLimiter::builder(name, algorithm, redis.limits().clone(), redis.keyspace().clone());
        let shared = block(settings).into_iter().fold(shared, RedisLimiterBuilder::block).build();
        let shared = shared.map_err(StartError::Limits)?;
        let fallback = if self.limits.leases {
            FallbackLimiter::builder(LeasedLimiter::builder(shared).max_keys(MAX_LEASED).build())
        } else {
            FallbackLimiter::builder(shared)
        };
        let fallback = fallback.policy(self.outage).live_processes(self.live.clone()).patience(self.limits.patience);
        let denials = DenyCache::builder(fallback.max_keys(MAX_CLIENTS).build()).max_keys(MAX_CLIENTS).build();
        let denials = Arc::new(denials);
        let limiter = NewKeys::builder(Arc::clone(&denials), self.limits.new_keys).map_err(StartError::Limit)?.build();
        Ok((limiter, move |key: &str| denials.cached(key, 1)))
    }

    fn tenants(&self) -> Arc<dyn TenantLimiter> {
        let Some(redis) = self.redis else {
            return Arc::new(MemoryTenantLimiter::new(Clock::system(), MAX_TENANTS));
        };
        let shared = RedisTenantLimiter::builder("tenant", redis.limits().clone(), redis.keyspace().clone()).build();
        Arc::new(
            FallbackTenantLimiter::builder(shared)
                .policy(self.outage)
                .live_processes(self.live.clone())
                .patience(self.limits.patience)
                .max_keys(MAX_TENANTS)
                .build(),
        )
    }
}

/// The block of a key that goes over, where there is one.
pub(super) fn block(settings: &LimitSettings) -> Option<BlockPolicy> {
    (!settings.block.is_zero()).then(|| BlockPolicy::fixed(settings.block).escalate(BlockPolicy::MAX, STRIKE_DECAY))
}
