//! What both binaries tell about themselves: log, figures, health.

mod board;
mod cache_watch;
mod exposition;
mod logging;
mod outlook;
mod process;
mod pulse;
mod queues;
mod redis;
mod redis_figures;
mod seldom;

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthMonitor, HealthReport, Registry, Snapshot};
use tidegate_queue::{Broker, QueueCounts};
use tidegate_ratelimit::LimiterStats;
use tokio_util::sync::CancellationToken;

use crate::redis::Redis;
use crate::settings::PerformanceSettings;
use queues::RateWatch;
use redis::RedisWatch;

pub use board::{Beat, Board, Section, Table};
pub use cache_watch::CacheWatch;
pub use exposition::CONTENT_TYPE;
pub use logging::init as init_logging;
pub use outlook::{CacheRoom, JobsAtOnce, OutlookWatch};
pub use queues::{JobWatch, Latency, Percentiles, Rates};
pub use redis::{RedisReport, RedisServer, RedisSlowCommand, RedisUse};
pub use seldom::Seldom;

/// The figures of one process, and the verdict on them.
pub struct Telemetry {
    registry: Registry,
    board: Board,
    monitor: Mutex<HealthMonitor>,
    report: Mutex<Option<HealthReport>>,
    cache: TieredCache,
    cache_watch: Arc<CacheWatch>,
    broker: Arc<dyn Broker>,
    job_watch: Arc<JobWatch>,
    rates: Arc<RateWatch>,
    redis: Option<Arc<RedisWatch>>,
    limiters: Mutex<Vec<LimiterSource>>,
}

/// Where a limiter's counts come from, by its name.
type LimiterSource = (&'static str, Box<dyn Fn() -> LimiterStats + Send + Sync>);

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// What is told of.
#[derive(Clone)]
pub struct Watched {
    /// The cache.
    pub cache: TieredCache,
    /// What listens to it.
    pub cache_watch: Arc<CacheWatch>,
    /// The jobs.
    pub broker: Arc<dyn Broker>,
    /// Redis, where the node uses it.
    pub redis: Option<Redis>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("redis", &self.redis).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the pulse, which files the figures of each second and judges them, and the watch over Redis, until
    /// `shutdown`.
    pub fn start(watched: Watched, settings: &PerformanceSettings, shutdown: CancellationToken) -> Arc<Self> {
        let Watched { cache, cache_watch, broker, redis } = watched;
        let registry = settings.registry().build();
        let monitor = Mutex::new(HealthMonitor::new(registry.health_config()));
        let telemetry = Arc::new(Self {
            registry,
            board: Board::default(),
            monitor,
            report: Mutex::new(None),
            cache,
            cache_watch,
            broker,
            job_watch: Arc::default(),
            rates: Arc::default(),
            redis: redis.map(RedisWatch::new),
            limiters: Mutex::new(Vec::new()),
        });
        if let Some(redis) = &telemetry.redis {
            tokio::spawn(Arc::clone(redis).run(shutdown.clone()));
        }
        process::hang_up(&telemetry.board);
        exposition::recorder::hang_up(&telemetry.board, &telemetry.registry, exposition::facade::bridge());
        exposition::facade::hang_up(&telemetry.board, exposition::facade::bridge());
        tokio::spawn(pulse::run(Arc::clone(&telemetry), shutdown));
        telemetry
    }

    /// The registry of endpoints and operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where parts of the node hang up what they have to show.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Adds a limiter to what `/metrics` shows.
    pub fn watch_limiter(&self, name: &'static str, stats: impl Fn() -> LimiterStats + Send + Sync + 'static) {
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(stats)));
    }

    /// What each limiter decided so far.
    fn limiter_stats(&self) -> Vec<(&'static str, LimiterStats)> {
        let limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.iter().map(|(name, stats)| (*name, stats())).collect()
    }

    /// What listens to the worker of this process.
    pub fn job_watch(&self) -> &Arc<JobWatch> {
        &self.job_watch
    }

    /// Begins to follow the totals of the queues, for [`queue_rates`](Self::queue_rates), until `shutdown`.
    pub fn follow_queues(&self, shutdown: CancellationToken) {
        tokio::spawn(Arc::clone(&self.rates).run(Arc::clone(&self.broker), shutdown));
    }

    /// What happened in a queue per second over the last minute, up to `counts`, which were read now; `None` where the
    /// queues aren't followed, and at first.
    pub fn queue_rates(&self, queue: &str, counts: &QueueCounts) -> Option<Rates> {
        self.rates.rates(queue, counts)
    }

    /// How long lookups in the cache of this process took, on a sample of them.
    pub fn cache_latency(&self) -> Snapshot {
        self.cache_watch.lookups()
    }

    /// How long lookups in the cache's shared tier took, each of them.
    pub fn shared_cache_latency(&self) -> Snapshot {
        self.cache_watch.shared_lookups()
    }

    /// Redis as it was seen last; `None` on the embedded default.
    pub fn redis(&self) -> Option<RedisReport> {
        self.redis.as_deref().map(RedisWatch::report)
    }

    /// The latest verdict; `None` in the first moments.
    pub fn health(&self) -> Option<HealthReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
