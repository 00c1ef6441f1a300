//! What both binaries tell about themselves: log, figures, health.

mod alerts;
mod board;
mod cache_watch;
mod exposition;
mod line_fields;
mod logging;
mod outlook;
mod pools;
mod process;
mod pulse;
mod queues;
mod redis;
mod redis_figures;
mod seldom;
mod slow_log;
mod statements;
#[cfg(test)]
mod test_ground;
mod times;
pub mod trace;
mod verdict;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthConfig, HealthMonitor, HealthReport, Kind, Registry, Snapshot, UNMATCHED};
use tidegate_queue::{Broker, QueueCounts};
use tidegate_ratelimit::LimiterStats;
use tokio_util::sync::CancellationToken;

use crate::probes;
use crate::redis::Redis;
use crate::settings::PerformanceSettings;
use crate::store::WatchedPool;
use pulse::Asked;
use queues::RateWatch;
use redis::RedisWatch;
use slow_log::SlowLog;
use statements::Statements;
use verdict::{CacheCounts, CacheVerdict};

pub use alerts::{AlertDesk, Follower, Told, TooManyFollowers, Topic, WebhookError};
pub use board::{Beat, Board, Section, Table, cell};
pub use cache_watch::CacheWatch;
pub use exposition::CONTENT_TYPE;
#[cfg(feature = "otlp")]
pub(crate) use exposition::Family;
pub(crate) use logging::BoxedLayer;
pub use logging::init as init_logging;
pub use outlook::{CacheRoom, JobsAtOnce, OutlookWatch};
pub use queues::{JobWatch, Latency, Percentiles, Rates};
pub use redis::{RedisReport, RedisServer, RedisSlowCommand, RedisUse};
pub use seldom::Seldom;
pub use statements::set_request_trace;
pub(crate) use statements::{STATEMENT_TARGET, Statement};
pub(crate) use times::Times;

/// The route of the API to which files are uploaded.
const UPLOADS: &str = "/api/schedules/import";
/// A verdict falls every second; an older one than this is none.
const VERDICT_HOLDS: Duration = Duration::from_secs(5);

/// The figures of one process, and the verdict on them.
pub struct Telemetry {
    registry: Registry,
    board: Board,
    monitor: Mutex<HealthMonitor>,
    report: Mutex<Option<(Duration, HealthReport)>>,
    alerts: Arc<AlertDesk>,
    asked: Mutex<Option<Asked>>,
    scrape_errors: AtomicU64,
    cache: TieredCache,
    cache_watch: Arc<CacheWatch>,
    broker: Arc<dyn Broker>,
    job_watch: Arc<JobWatch>,
    rates: Arc<RateWatch>,
    redis: Option<Arc<RedisWatch>>,
    statements: Arc<Statements>,
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
    /// `shutdown`. Alerts are delivered until then too.
    ///
    /// # Errors
    ///
    /// When there is a webhook, and no client can be made for it.
    pub fn start(
        watched: Watched,
        settings: &PerformanceSettings,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, WebhookError> {
        let Watched { cache, cache_watch, broker, redis } = watched;
        let registry = registry(settings);
        let monitor = Mutex::new(HealthMonitor::new(registry.health_config()));
        let alerts = AlertDesk::start(&settings.alerts, registry.now(), shutdown.clone())?;
        let telemetry = Arc::new(Self {
            registry,
            board: Board::default(),
            monitor,
            report: Mutex::new(None),
            alerts,
            asked: Mutex::new(None),
            scrape_errors: AtomicU64::new(0),
            cache,
            cache_watch,
            broker,
            job_watch: Arc::default(),
            rates: Arc::default(),
            redis: redis.map(RedisWatch::new),
            statements: Statements::of_process(&settings.queries),
            limiters: Mutex::new(Vec::new()),
        });
        statements::hang_up(&telemetry.statements, &telemetry.board, settings.health.min_samples);
        if let Some(redis) = &telemetry.redis {
            tokio::spawn(Arc::clone(redis).run(shutdown.clone()));
        }
        process::hang_up(&telemetry.board);
        telemetry.hang_up(CacheVerdict::new(&settings.health, settings.warning_of(Kind::Cache)));
        exposition::recorder::hang_up(&telemetry.board, &telemetry.registry, exposition::facade::bridge());
        exposition::facade::hang_up(&telemetry.board, exposition::facade::bridge());
        tokio::spawn(pulse::run(Arc::clone(&telemetry), shutdown));
        Ok(telemetry)
    }

    /// Hangs up what is told here of the cache and of alerts.
    fn hang_up(&self, verdict: CacheVerdict) {
        let (cache, watch, registry) = (self.cache.clone(), Arc::clone(&self.cache_watch), self.registry.clone());
        self.board.readings(move || {
            let latencies = || [watch.lookups(), watch.shared_lookups()];
            verdict.readings(registry.now(), || CacheCounts::of(&cache.stats(), &latencies(), verdict.slow()))
        });
        self.board.section(Arc::clone(&self.alerts) as _);
        let alerts = Arc::clone(&self.alerts);
        self.board.figures(move || Box::new(alerts.figures()));
        let alerts = Arc::clone(&self.alerts);
        self.board.every_second(move |beat| alerts.beat(beat));
    }

    /// The alerts.
    pub fn alerts(&self) -> &Arc<AlertDesk> {
        &self.alerts
    }

    /// The registry of endpoints and operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where parts of the node hang up what they have to show.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Shows the pools of connections, and judges by how much of them is in use.
    pub(crate) fn watch_pools(&self, pools: impl Into<Vec<WatchedPool>>, limits: &HealthConfig) {
        pools::hang_up(pools.into(), &self.board, limits.clone());
    }

    /// Logs the slow statements that were not logged yet.
    pub(crate) fn log_slow_statements(&self) {
        self.statements.log_slow();
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

    /// The latest verdict; `None` in the first moments, and when none has fallen for five seconds: what was true then says
    /// nothing of now.
    pub fn health(&self) -> Option<HealthReport> {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, report) = report.as_ref()?;
        is_fresh(*at, self.registry.now()).then(|| report.clone())
    }
}

/// As the settings want it; it writes what is slow to the log.
fn registry(settings: &PerformanceSettings) -> Registry {
    // What tells nothing of how the service is: probes, strangers, and uploads, whose time is their client's.
    let unjudged = probes::PATHS.into_iter().chain([UNMATCHED, UPLOADS]);
    let builder = Registry::builder()
        .observer(Arc::new(SlowLog::default()))
        .cap(settings.endpoints)
        .unjudged(unjudged)
        .slow_call(settings.slow_api_log)
        .health(settings.health.clone());
    let warned = settings.warn.iter().fold(builder, |builder, (kind, above)| builder.slow_operation(*kind, *above));
    warned.build()
}

/// Whether a verdict of that moment says something of now.
fn is_fresh(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) <= VERDICT_HOLDS
}
