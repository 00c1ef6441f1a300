//! The metrics of one process, for all that shows, exports or judges them.

use std::sync::{Arc, Mutex};

use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthMonitor, HealthReport, OperationSnapshot, Registry};
use tidegate_queue::{Broker, QueueCounts};
use tidegate_ratelimit::LimiterStats;

use super::alerts::AlertDispatcher;
use super::cache_watch::CacheWatch;
use super::latest::LatestReport;
use super::limiters::Limiters;
use super::operations::Operations;
use super::queues::{JobWatch, RateWatch, Rates};
use super::redis::{RedisReport, RedisWatch};
use super::slow_log::SlowLog;
use super::sources::Sources;
use super::statements::Statements;
use super::ticker::JobStoreAnswer;

/// The metrics of one process, and the health report on them.
pub struct Telemetry {
    pub(super) registry: Registry,
    pub(super) sources: Sources,
    pub(super) monitor: Mutex<HealthMonitor>,
    pub(super) latest: Arc<LatestReport>,
    pub(super) alerts: Arc<AlertDispatcher>,
    pub(super) asked: Mutex<Option<JobStoreAnswer>>,
    pub(super) cache: TieredCache,
    pub(super) cache_watch: Arc<CacheWatch>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) job_watch: Arc<JobWatch>,
    pub(super) rates: Arc<RateWatch>,
    pub(super) redis: Option<Arc<RedisWatch>>,
    pub(super) statements: Arc<Statements>,
    pub(super) operations: Operations,
    pub(super) slow_log: Arc<SlowLog>,
    pub(super) limiters: Arc<Limiters>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// The alert dispatcher.
    pub fn alerts(&self) -> &Arc<AlertDispatcher> {
        &self.alerts
    }

    /// The registry of endpoints and operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry of sections, metrics, readings and listeners of the node's parts.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Logs the slow statements and operations that were not logged yet.
    pub fn log_slow(&self) {
        self.statements.log_slow();
        self.slow_log.write();
    }

    /// Adds a limiter to `/metrics`.
    pub fn watch_limiter(&self, name: &'static str, stats: impl Fn() -> LimiterStats + Send + Sync + 'static) {
        self.limiters.add(name, stats);
    }

    /// Returns the counts of each limiter since the start.
    pub(super) fn limiter_stats(&self) -> Vec<(&'static str, LimiterStats)> {
        self.limiters.stats()
    }

    /// The observer of the worker of this process.
    pub fn job_watch(&self) -> &Arc<JobWatch> {
        &self.job_watch
    }

    /// Returns the rates of a queue over the last minute, up to `counts`, which were read now.
    /// `None` if the queues are not followed, and at first.
    pub fn queue_rates(&self, queue: &str, counts: &QueueCounts) -> Option<Rates> {
        self.rates.rates(queue, counts)
    }

    /// The recorders of the node's operations.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Durations of lookups in the cache of this process in the last five minutes, from a sample.
    pub fn cache_latency(&self) -> OperationSnapshot {
        self.cache_watch.lookups()
    }

    /// Durations of all lookups in the shared tier of the cache in the last five minutes. `None` if
    /// there is none.
    pub fn shared_cache_latency(&self) -> Option<OperationSnapshot> {
        self.cache_watch.shared_lookups()
    }

    /// State of Redis at the last reading. `None` if the node does not use Redis.
    pub fn redis(&self) -> Option<RedisReport> {
        self.redis.as_deref().map(RedisWatch::report)
    }

    /// Returns the last health report. `None` in the first moments, and if there was none for five
    /// seconds: an old report does not describe the current state.
    pub fn health(&self) -> Option<HealthReport> {
        self.latest.fresh()
    }
}
