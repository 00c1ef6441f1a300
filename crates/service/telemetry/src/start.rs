//! Starts telemetry, and adds the parts of the node to it.

use std::sync::{Arc, Mutex};

use tidegate_cache::TieredCache;
use tidegate_outgoing::redis::Redis;
use tidegate_outgoing::webhook::WebhookError;
use tidegate_perfmon::{HealthConfig, HealthMonitor, Registry, UNMATCHED};
use tidegate_queue::Broker;
use tidegate_settings::{PerformanceSettings, Settings};
use tidegate_store::{ServerWatch, Store, WatchedPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alerts::AlertDispatcher;
use super::cache_watch::CacheWatch;
use super::latest::LatestReport;
use super::operations::Operations;
use super::queues::JobWatch;
use super::redis::RedisWatch;
use super::slow_log::SlowLog;
use super::sources::{Named, Sources};
use super::statements::Statements;
use super::telemetry::Telemetry;
use super::verdict::{CacheCounts, CacheVerdict};
use super::{
    access_log, cache_figures, exposition, pools, postgres, process, queues, redis_figures, shedding, statements,
    ticker,
};

/// The parts of a node that telemetry observes.
#[derive(Clone)]
pub struct Observed {
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

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observed").field("redis", &self.redis).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the ticker, which files and judges the metrics of each second, and the watch on
    /// Redis. Both run until `shutdown`.
    pub fn start(watched: Observed, settings: &PerformanceSettings, shutdown: CancellationToken) -> Arc<Self> {
        let Observed { registry, slow_log, cache, cache_watch, broker, redis } = watched;
        let monitor = Mutex::new(HealthMonitor::new(registry.health_config()));
        let latest = Arc::new(LatestReport::new(&registry));
        let alerts = AlertDispatcher::new(&settings.alerts, &registry, Arc::clone(&latest));
        let operations = Operations::of(&registry, redis.is_none());
        let telemetry = Arc::new(Self {
            job_watch: Arc::new(JobWatch::new(registry.clone())),
            registry,
            sources: Sources::default(),
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
        statements::register(&telemetry.statements, &telemetry.sources, settings.health.min_samples);
        telemetry.statements.measure_as(&telemetry.operations, &telemetry.registry);
        telemetry.sources.every_second(move |_| slow_log.write());
        if let Some(redis) = &telemetry.redis {
            redis_figures::register(&telemetry.sources, redis);
            let watched = Arc::clone(redis);
            telemetry.alerts.watch_limits(move || watched.measurements());
            tokio::spawn(Arc::clone(redis).run(shutdown.clone()));
        }
        cache_figures::register(&telemetry.sources, &telemetry.cache, &telemetry.cache_watch);
        telemetry.limiters.register(&telemetry.sources);
        queues::register(&telemetry.sources, &telemetry.broker, &telemetry.job_watch);
        process::register(&telemetry.sources);
        telemetry.register(CacheVerdict::new(&settings.health));
        exposition::recorder::register(&telemetry.sources, &telemetry.registry, exposition::facade::bridge());
        exposition::facade::register(&telemetry.sources, exposition::facade::bridge());
        telemetry.read_own_rules(shutdown.clone());
        tokio::spawn(ticker::run(Arc::clone(&telemetry), shutdown));
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
    fn register(&self, verdict: CacheVerdict) {
        let (cache, registry) = (self.cache.clone(), self.registry.clone());
        self.sources.readings([Named::warning("cache_misses")], move || {
            verdict.reading(registry.now(), || CacheCounts::of(&cache.stats())).into_iter().collect()
        });
        self.sources.section(Arc::clone(&self.alerts) as _);
        let alerts = Arc::clone(&self.alerts);
        self.sources.figures(move || Box::new(alerts.figures()));
        let alerts = Arc::clone(&self.alerts);
        self.sources.every_second(move |tick| alerts.tick(tick));
    }

    /// Registers the connection pools, and judges them by the connections in use.
    pub fn watch_pools(&self, pools: impl Into<Vec<WatchedPool>>, limits: &HealthConfig) {
        let pools = pools.into();
        pools.iter().for_each(|pool| pool.acquired().file_by(&self.registry));
        pools::register(pools, &self.sources, limits.clone());
    }

    /// Registers metrics and alerts of the connections and replicas of the database server, which
    /// is read until `shutdown`. `None` on SQLite.
    pub fn watch_server(&self, watch: Option<ServerWatch>, shutdown: CancellationToken) {
        postgres::start(watch, &self.sources, &self.alerts, shutdown);
    }

    /// Adds the number of shed requests to `/metrics`.
    pub fn watch_shedding(&self, shed: impl Fn() -> u64 + Send + Sync + 'static) {
        self.sources.figures(move || Box::new(shedding::Shed(shed())));
    }

    /// Adds the number of lost access log lines to `/metrics`.
    pub fn watch_access_log(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        self.sources.figures(move || Box::new(access_log::Dropped(dropped())));
    }

    /// Starts to read the totals of the queues, for [`queue_rates`](Self::queue_rates) and the
    /// alert on recovered jobs, until `shutdown`.
    pub fn follow_queues(&self, shutdown: CancellationToken) {
        let rates = Arc::clone(&self.rates);
        self.sources.readings([Named::warning("jobs_recovered")], move || rates.recovered().into_iter().collect());
        let rates = Arc::clone(&self.rates);
        self.alerts.watch_limits(move || rates.measurements());
        let rates = Arc::clone(&self.rates);
        tokio::spawn(queues::send_events(Arc::clone(&self.alerts), Arc::clone(&self.broker), shutdown.clone()));
        tokio::spawn(rates.run(Arc::clone(&self.broker), shutdown));
    }

    /// Reads the metrics of the operator's rules until `shutdown`. Does nothing if there are none.
    fn read_own_rules(self: &Arc<Self>, shutdown: CancellationToken) {
        let rules = self.alerts.own_rules();
        if rules.is_empty() {
            return;
        }
        let (observed, read) = (Arc::clone(rules), Arc::clone(self));
        self.alerts.watch(move || observed.observations(Instant::now()));
        tokio::spawn(Arc::clone(rules).run(async move || read.exposition().await, shutdown));
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
        .unjudged(unjudged.into_iter().chain([UNMATCHED]))
        .slow_call(settings.slow_api_log)
        .health(settings.health.clone());
    let warned = settings.warn.iter().fold(builder, |builder, (kind, above)| builder.slow_operation(*kind, *above));
    (warned.build(), slow_log)
}
