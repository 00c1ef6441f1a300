//! What both programs report about themselves: the log, metrics, health, alerts and traces.
//!
//! **It holds** [`Telemetry`], which files the measurements of each second into windows and judges
//! them; [`Board`], where the parts of a node register their sections, metrics and readings; the
//! text of `/metrics`; the log ([`init_logging`], [`LogFilter`]); the alerts and their receivers
//! ([`AlertDesk`]); trends and advice ([`OutlookWatch`]); and the export to an OpenTelemetry
//! collector ([`Export`]).
//!
//! **It must not hold** a route, a page or a job, and it must not import the domain or the node:
//! the node registers with the [`Board`] what its parts have to show.
//!
//! **Start reading** at `pulse.rs`, which runs once a second, then at `board.rs`, then at
//! `alerts.rs`, which turns a verdict into alerts.

mod access_log;
mod alerts;
mod board;
mod cache_figures;
mod cache_watch;
mod exposition;
mod json_lines;
mod latest;
mod limiters;
mod line_fields;
mod log_filter;
mod logging;
mod operations;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp/absent.rs"]
mod otlp;
mod outlook;
mod own_rules;
mod pools;
mod postgres;
mod process;
mod pulse;
mod queues;
mod redis;
mod redis_figures;
mod shedding;
mod slow_log;
mod statements;
#[cfg(test)]
mod test_ground;
pub mod trace;
mod verdict;

use std::sync::{Arc, Mutex};

use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthConfig, HealthMonitor, HealthReport, OperationSnapshot, Registry, UNMATCHED};
use tidegate_queue::{Broker, QueueCounts};
use tidegate_ratelimit::LimiterStats;
use tokio_util::sync::CancellationToken;

use latest::Latest;
use limiters::Limiters;
use pulse::Asked;
use queues::RateWatch;
use redis::RedisWatch;
use statements::Statements;
use tidegate_outgoing::redis::Redis;
use tidegate_outgoing::webhook::WebhookError;
use tidegate_settings::{PerformanceSettings, Settings};
use tidegate_store::{ServerWatch, Store, WatchedPool};
use verdict::{CacheCounts, CacheVerdict};

pub use alerts::{AlertDesk, Follower, SilenceFailure, Told, Topic};
pub use board::{Beat, Board, Named, Section, Table, cell};
pub use cache_watch::CacheWatch;
pub use exposition::CONTENT_TYPE;
#[cfg(feature = "otlp")]
pub(crate) use exposition::Family;
pub(crate) use exposition::Sample;
pub use log_filter::{BadFilter, LogFilter, LogFilterNow, log_filter};
pub(crate) use logging::BoxedLayer;
pub use logging::init as init_logging;
#[cfg(all(test, feature = "otlp"))]
pub(crate) use logging::listeners;
pub use operations::Operations;
#[cfg(feature = "otlp")]
pub(crate) use operations::collector as collector_operation;
pub use otlp::Export;
pub use outlook::{CacheRoom, JobsAtOnce, OutlookWatch};
pub use queues::{JobWatch, Latency, Percentiles, Rates};
pub use redis::{RedisReplica, RedisReport, RedisServer, RedisSlowCommand, RedisUse};
pub use slow_log::SlowLog;
pub(crate) use statements::Statement;
pub use statements::set_request_trace;

/// The metrics of one process, and the health report on them.
pub struct Telemetry {
    registry: Registry,
    board: Board,
    monitor: Mutex<HealthMonitor>,
    latest: Arc<Latest>,
    alerts: Arc<AlertDesk>,
    asked: Mutex<Option<Asked>>,
    cache: TieredCache,
    cache_watch: Arc<CacheWatch>,
    broker: Arc<dyn Broker>,
    job_watch: Arc<JobWatch>,
    rates: Arc<RateWatch>,
    redis: Option<Arc<RedisWatch>>,
    statements: Arc<Statements>,
    operations: Operations,
    slow_log: Arc<SlowLog>,
    limiters: Arc<Limiters>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The parts of a node that telemetry observes.
#[derive(Clone)]
pub struct Watched {
    /// The registry of their metrics.
    pub registry: Registry,
    /// The observer that logs slow calls and operations of the registry.
    pub slow_log: Arc<SlowLog>,
    /// The cache.
    pub cache: TieredCache,
    /// The observer of the cache.
    pub cache_watch: Arc<CacheWatch>,
    /// The job broker.
    pub broker: Arc<dyn Broker>,
    /// Redis. `None` if the node does not use it.
    pub redis: Option<Redis>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("redis", &self.redis).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the ticker, which files and judges the metrics of each second, and the watch on
    /// Redis. Both run until `shutdown`.
    pub fn start(watched: Watched, settings: &PerformanceSettings, shutdown: CancellationToken) -> Arc<Self> {
        let Watched { registry, slow_log, cache, cache_watch, broker, redis } = watched;
        let monitor = Mutex::new(HealthMonitor::new(registry.health_config()));
        let latest = Arc::new(Latest::new(&registry));
        let alerts = AlertDesk::new(&settings.alerts, &registry, Arc::clone(&latest));
        let operations = Operations::of(&registry, redis.is_none());
        let telemetry = Arc::new(Self {
            job_watch: Arc::new(JobWatch::new(registry.clone())),
            registry,
            board: Board::default(),
            monitor,
            latest,
            alerts,
            asked: Mutex::new(None),
            cache,
            cache_watch,
            broker,
            rates: Arc::default(),
            redis: redis.map(RedisWatch::new),
            statements: Statements::of_process(&settings.queries),
            operations,
            slow_log: Arc::clone(&slow_log),
            limiters: Arc::default(),
        });
        telemetry.alerts.look_into(telemetry.statements.queries().clone());
        statements::hang_up(&telemetry.statements, &telemetry.board, settings.health.min_samples);
        telemetry.statements.measure_as(&telemetry.operations, &telemetry.registry);
        telemetry.board.every_second(move |_| slow_log.write());
        if let Some(redis) = &telemetry.redis {
            redis_figures::hang_up(&telemetry.board, redis);
            let watched = Arc::clone(redis);
            telemetry.alerts.watch_limits(move || watched.measurements());
            tokio::spawn(Arc::clone(redis).run(shutdown.clone()));
        }
        cache_figures::hang_up(&telemetry.board, &telemetry.cache, &telemetry.cache_watch);
        telemetry.limiters.hang_up(&telemetry.board);
        queues::hang_up(&telemetry.board, &telemetry.broker, &telemetry.job_watch);
        process::hang_up(&telemetry.board);
        telemetry.hang_up(CacheVerdict::new(&settings.health));
        exposition::recorder::hang_up(&telemetry.board, &telemetry.registry, exposition::facade::bridge());
        exposition::facade::hang_up(&telemetry.board, exposition::facade::bridge());
        Arc::clone(telemetry.alerts.own_rules()).start(Arc::clone(&telemetry), shutdown.clone());
        tokio::spawn(pulse::run(Arc::clone(&telemetry), shutdown));
        telemetry
    }

    /// Shares alerts and silences with the other processes of the database, and sends them to the
    /// configured receivers, until `shutdown`.
    /// # Errors
    ///
    /// [`WebhookError`] if no client for a receiver can be created.
    pub fn share_alerts(
        &self,
        settings: &Settings,
        store: &Store,
        shutdown: CancellationToken,
    ) -> Result<(), WebhookError> {
        self.alerts.share(settings, store, &self.registry, shutdown)
    }

    /// Registers sections, metrics and readings of the cache and of alerts.
    fn hang_up(&self, verdict: CacheVerdict) {
        let (cache, registry) = (self.cache.clone(), self.registry.clone());
        self.board.readings([Named::warning("cache_misses")], move || {
            verdict.reading(registry.now(), || CacheCounts::of(&cache.stats())).into_iter().collect()
        });
        self.board.section(Arc::clone(&self.alerts) as _);
        let alerts = Arc::clone(&self.alerts);
        self.board.figures(move || Box::new(alerts.figures()));
        let alerts = Arc::clone(&self.alerts);
        self.board.every_second(move |beat| alerts.beat(beat));
    }

    /// The alert desk.
    pub fn alerts(&self) -> &Arc<AlertDesk> {
        &self.alerts
    }

    /// The registry of endpoints and operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry of sections, metrics, readings and listeners of the node's parts.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Registers the connection pools, and judges them by the connections in use.
    pub fn watch_pools(&self, pools: impl Into<Vec<WatchedPool>>, limits: &HealthConfig) {
        let pools = pools.into();
        pools.iter().for_each(|pool| pool.acquired().file_by(&self.registry));
        pools::hang_up(pools, &self.board, limits.clone());
    }

    /// Registers metrics and alerts of the connections and replicas of the database server, which
    /// is read until `shutdown`. `None` on SQLite.
    pub fn watch_server(&self, watch: Option<ServerWatch>, shutdown: CancellationToken) {
        postgres::start(watch, &self.board, &self.alerts, shutdown);
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

    /// Adds the number of shed requests to `/metrics`.
    pub fn watch_shedding(&self, shed: impl Fn() -> u64 + Send + Sync + 'static) {
        self.board.figures(move || Box::new(shedding::Shed(shed())));
    }

    /// Adds the number of lost access log lines to `/metrics`.
    pub fn watch_access_log(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        self.board.figures(move || Box::new(access_log::Dropped(dropped())));
    }

    /// Returns the counts of each limiter since the start.
    fn limiter_stats(&self) -> Vec<(&'static str, LimiterStats)> {
        self.limiters.stats()
    }

    /// The observer of the worker of this process.
    pub fn job_watch(&self) -> &Arc<JobWatch> {
        &self.job_watch
    }

    /// Starts to read the totals of the queues, for [`queue_rates`](Self::queue_rates) and the
    /// alert on recovered jobs, until `shutdown`.
    pub fn follow_queues(&self, shutdown: CancellationToken) {
        let rates = Arc::clone(&self.rates);
        self.board.readings([Named::warning("jobs_recovered")], move || rates.recovered().into_iter().collect());
        let rates = Arc::clone(&self.rates);
        self.alerts.watch_limits(move || rates.measurements());
        let rates = Arc::clone(&self.rates);
        tokio::spawn(queues::send_events(Arc::clone(&self.alerts), Arc::clone(&self.broker), shutdown.clone()));
        tokio::spawn(rates.run(Arc::clone(&self.broker), shutdown));
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

/// Makes the configured registry, and the observer that logs slow calls and operations.
///
/// The routes `unjudged` do not count for health.
pub fn registry<'a>(
    settings: &PerformanceSettings,
    unjudged: impl IntoIterator<Item = &'a str>,
) -> (Registry, Arc<SlowLog>) {
    let slow_log = Arc::new(SlowLog::default());
    let builder = Registry::builder()
        .observer(Arc::clone(&slow_log) as _)
        .cap(settings.endpoints)
        .unjudged(unjudged.into_iter().chain([UNMATCHED]))
        .slow_call(settings.slow_api_log)
        .health(settings.health.clone());
    let warned = settings.warn.iter().fold(builder, |builder, (kind, above)| builder.slow_operation(*kind, *above));
    (warned.build(), slow_log)
}
