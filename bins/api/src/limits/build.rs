//! From settings to limiters: the one place that knows what stands behind what.
//!
//! In memory: the limiter itself. On Redis: remembered denials in front of a fallback in front of the script.

use std::sync::Arc;
use std::time::Duration;

use tidegate_app::node::StartError;
use tidegate_app::redis::Redis;
use tidegate_app::settings::{LimitMode, LimitSettings, Settings};
use tidegate_ratelimit::{
    BlockPolicy, DenyCache, FallbackLimiter, FallbackTenantLimiter, FixedWindow, Limiter, MemoryLimiter,
    MemoryLimiterBuilder, MemoryTenantLimiter, RedisAlgorithm, RedisLimiter, RedisLimiterBuilder, RedisTenantLimiter,
    SlidingLog, SlidingWindow, SystemClock, TenantLimiter,
};

use super::shadow::Shadow;
use super::{Limiters, Named};

/// Clients that one limiter remembers; beyond, the least charged are forgotten.
const MAX_CLIENTS: usize = 100_000;
/// One strike of a repeat offender is forgotten after so long without a block.
const STRIKE_DECAY: Duration = Duration::from_secs(3600);
/// Tenants that are remembered.
const MAX_TENANTS: usize = 100_000;

pub(super) fn all(settings: &Settings, redis: Option<&Redis>) -> Result<Limiters, StartError> {
    let limits = &settings.limits;
    let log = |settings: &LimitSettings| SlidingLog::new(settings.quota).map_err(StartError::Limit);
    Ok(Limiters {
        ddos: named("ddos", FixedWindow::new(limits.ddos.quota), &limits.ddos, redis)?,
        auth: named("auth", log(&limits.auth)?, &limits.auth, redis)?,
        report: named("report", log(&limits.report)?, &limits.report, redis)?,
        api: named("api", SlidingWindow::new(limits.api.quota), &limits.api, redis)?,
        tenants: tenant_limiter(redis),
        tenant_mode: limits.tenant_mode,
    })
}

fn named<A: RedisAlgorithm + Send + Sync + 'static>(
    name: &'static str,
    algorithm: A,
    settings: &LimitSettings,
    redis: Option<&Redis>,
) -> Result<Named, StartError>
where
    A::State: Send + Sync + 'static,
{
    let block = (!settings.block.is_zero())
        .then(|| BlockPolicy::fixed(settings.block).escalate(BlockPolicy::MAX, STRIKE_DECAY));
    let kind = algorithm.name();
    let limiter: Arc<dyn Limiter> = if let Some(redis) = redis {
        let shared = RedisLimiter::builder(name, algorithm, redis.limits().clone(), redis.keyspace().clone());
        let shared = block.into_iter().fold(shared, RedisLimiterBuilder::block).build().map_err(StartError::Limits)?;
        let fallback = FallbackLimiter::builder(shared).max_keys(MAX_CLIENTS).build();
        in_mode(settings.mode, DenyCache::builder(fallback).max_keys(MAX_CLIENTS).build())
    } else {
        let builder = MemoryLimiter::builder(name, algorithm).max_keys(MAX_CLIENTS);
        in_mode(settings.mode, block.into_iter().fold(builder, MemoryLimiterBuilder::block).build())
    };
    Ok(Named::new(name, limiter, kind, settings.block, settings.mode))
}

fn in_mode(mode: LimitMode, limiter: impl Limiter + 'static) -> Arc<dyn Limiter> {
    match mode {
        LimitMode::Shadow => Arc::new(Shadow(limiter)),
        LimitMode::On | LimitMode::Off => Arc::new(limiter),
    }
}

fn tenant_limiter(redis: Option<&Redis>) -> Arc<dyn TenantLimiter> {
    let Some(redis) = redis else {
        return Arc::new(MemoryTenantLimiter::new(SystemClock::default(), MAX_TENANTS));
    };
    let shared = RedisTenantLimiter::builder("tenant", redis.limits().clone(), redis.keyspace().clone()).build();
    Arc::new(FallbackTenantLimiter::builder(shared).max_keys(MAX_TENANTS).build())
}
