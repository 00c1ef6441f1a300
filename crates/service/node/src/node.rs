//! A node: all parts of one process, in either binary.

mod error;

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_cache::{Capacity, RedisTier, TieredCache};
use tidegate_domain::files::{Files, FilesSweep};
use tidegate_domain::spool::Spool;
use tidegate_outgoing::redis::Redis;
use tidegate_outgoing::webhook::Sender;
use tidegate_perfmon::action::Actuator;
use tidegate_queue::{
    Broker, BrokerError, Concurrency, Job, Producer, RedisBroker, RedisOptions, SqliteBroker, SqliteOptions, Worker,
};
use tidegate_redis::{BlockingPool, Role};
use tidegate_settings::Settings;
use tidegate_store::notify::NotificationBus;
use tidegate_store::running::{self, RestoreGuard};
use tidegate_store::{Coherence, Store, StoreError};
use tidegate_telemetry::{CacheRoom, CacheWatch, Export, JobsAtOnce, Observed, OutlookWatch, Telemetry, trace};
use tokio_util::sync::CancellationToken;

use crate::database_mark;
use crate::jobs::{self, ExpandSchedules, ImportSchedules, JobContext, Regular, RollAnalytics, ServedQueue};
use crate::probes;
use crate::secret_watch::SecretWatch;
use crate::spool_sweep::Sweep;
pub use error::StartError;

/// The parts that routes and jobs use.
pub struct Node {
    /// The active settings.
    pub settings: Settings,
    /// The cache of this process.
    pub cache: TieredCache,
    /// The tables.
    pub store: Store,
    /// Keeps the cache consistent with the commits of other processes.
    pub coherence: Coherence,
    /// The job broker.
    pub broker: Arc<dyn Broker>,
    /// Subscriptions to tenants' notifications.
    pub bus: NotificationBus,
    /// Posts to tenants' webhooks.
    pub(crate) webhooks: Sender,
    /// Uploads that wait for a job.
    pub spool: Spool,
    /// Exports, reports and backups.
    pub files: Files,
    /// Metrics and health.
    pub telemetry: Arc<Telemetry>,
    /// Trends, advice, and the changes made on it.
    pub outlook: Arc<OutlookWatch>,
    /// The queues that a worker of this process serves.
    served: Vec<(ServedQueue, Concurrency)>,
    redis: Option<Redis>,
    queue_file: Option<Arc<SqliteBroker>>,
    background: CancellationToken,
    export: Option<Export>,
    /// Prevents a restore of tables in files while the node runs.
    _running: Option<RestoreGuard>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A server that a node waits for at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The servers of jobs, limits and cache.
    Redis,
    /// The server of the tables.
    Database,
}

impl Node {
    /// Opens the databases, connects to Redis if configured, and starts the background tasks.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the data directory or a file in it can't be used, or Redis can't. Nothing
    /// is written to the directory then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_telling(settings, |_| {}).await
    }

    /// Like [`start`](Self::start). Calls `waits` with each server before it connects to it.
    pub(crate) async fn start_telling(settings: Settings, waits: impl Fn(WaitsFor) + Send) -> Result<Self, StartError> {
        let background = CancellationToken::new();
        // If the start fails, everything that it has started ends.
        let unfinished = background.clone().drop_guard();
        let redis = match &settings.redis {
            Some(redis) => {
                waits(WaitsFor::Redis);
                Some(Redis::connect(redis).await?)
            }
            None => None,
        };
        let (registry, slow_log) = tidegate_telemetry::registry(&settings.performance, probes::PATHS);
        let cache_watch = Arc::new(CacheWatch::new(&registry, redis.is_some()));
        let make_cache = |database: &str| {
            let cache = TieredCache::builder()
                .capacity(Capacity::Bytes(settings.cache_size))
                .observer(Arc::clone(&cache_watch) as _);
            let Some(redis) = &redis else { return cache.build() };
            // Cached values of one database must not be used for another, whatever their prefixes.
            let tier = RedisTier::new(redis.cache().clone(), &redis.keyspace().within(database));
            let lag = settings.redis.as_ref().and_then(|redis| redis.replica_lag);
            let tier = match lag {
                Some(lag) => tier.lag_window(lag),
                None => tier,
            };
            cache.l2(tier).build()
        };
        let running = match &settings.database {
            Some(_) => None,
            None => Some(running::hold(&settings.data_dir).await?),
        };
        let opened = match &settings.database {
            Some(server) => {
                waits(WaitsFor::Database);
                Store::connect(server, make_cache, background.clone()).await
            }
            None => Store::open(&settings.database_path(), make_cache, background.clone()).await,
        };
        let (store, coherence) = opened.inspect_err(|_| {
            redis.as_ref().inspect(|redis| redis.close());
        })?;
        let cache = store.cache().clone();
        if let Some(redis) = &redis {
            database_mark::compare(redis.queue(), redis.keyspace(), store.installation()).await;
        }
        let (broker, queue_file) = open_jobs(&settings, redis.as_ref()).await?;
        let files = Files::open(&settings.files.place, &settings.data_dir)?;
        let spool = Spool::open(&files, &settings.data_dir)
            .map_err(|source| StartError::Spool { path: settings.data_dir.clone(), source })?;
        let watched = Observed {
            registry,
            slow_log,
            cache: cache.clone(),
            cache_watch,
            broker: Arc::clone(&broker),
            redis: redis.clone(),
        };
        let telemetry = Telemetry::start(watched, &settings.performance, background.clone());
        telemetry.share_alerts(&settings, &store, background.clone())?;
        store.measure_changes(Arc::clone(&telemetry.operations().changes));
        telemetry.watch_pools(store.pools(), &settings.performance.health);
        telemetry.watch_server(store.server_watch(), background.clone());
        let export = Export::start(&telemetry, &settings)?;
        let bus = NotificationBus::new(&store, &settings.notifications);
        let closed_by = (!settings.webhook.private_addresses).then_some("webhooks: private_addresses");
        let webhooks = Sender::new(settings.webhook.timeout, closed_by)?;
        tokio::spawn(store.clone().forget_notifications(settings.notifications.keep, background.clone()));
        let adjustable = |served: &ServedQueue| (*served, Concurrency::new(served.concurrency));
        let served: Vec<_> = settings.queue.served.iter().map(adjustable).collect();
        let since_the_start = u64::try_from(telemetry.registry().now().as_millis()).unwrap_or(0);
        let began_unix_ms = clock::unix_ms().saturating_sub(since_the_start);
        let at_once = served.iter().map(|(served, concurrency)| {
            Arc::new(JobsAtOnce::new(served.queue.name, concurrency.clone())) as Arc<dyn Actuator>
        });
        let outlook = Arc::new(OutlookWatch::new(
            &settings.performance,
            began_unix_ms,
            iter::once(Arc::new(CacheRoom::new(cache.clone(), settings.cache_size)) as Arc<dyn Actuator>)
                .chain(at_once)
                .collect(),
        ));
        Arc::clone(&outlook).start(Arc::clone(&telemetry), background.clone());
        tokio::spawn(SecretWatch::new(&settings, Some(&store)).keep(background.clone()));
        tokio::spawn(watch_files(store.clone(), queue_file.clone(), background.clone()));
        unfinished.disarm();
        Ok(Self {
            settings,
            cache,
            store,
            coherence,
            broker,
            bus,
            webhooks,
            spool,
            files,
            telemetry,
            outlook,
            served,
            redis,
            queue_file,
            background,
            export,
            _running: running,
        })
    }

    /// Redis. `None` if this node does not use it.
    pub fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// Returns the worker of this process for the queues that it serves. It must be run.
    ///
    /// # Errors
    ///
    /// [`StartError`] if a setting of the queues is invalid for the worker.
    pub fn worker(&self) -> Result<Worker, StartError> {
        let queue = &self.settings.queue;
        let sweep = Sweep {
            spool: self.spool.clone(),
            store: self.store.clone(),
            broker: Arc::clone(&self.broker),
            upload_timeout: self.settings.http.upload_timeout,
        };
        tokio::spawn(sweep.run(self.background.clone()));
        let (files, store) = (self.files.clone(), self.store.clone());
        let sweep = FilesSweep { files, store, broker: Arc::clone(&self.broker) };
        tokio::spawn(sweep.run(self.background.clone()));
        let builder = Worker::builder(Arc::clone(&self.broker))
            .observer(Arc::clone(self.telemetry.job_watch()) as _)
            .span(trace::job_span)
            .lease(queue.lease)
            .grace(queue.grace)
            .schedules();
        self.keep_enqueueing::<RollAnalytics>();
        self.keep_enqueueing::<ExpandSchedules>();
        let context = JobContext {
            settings: &self.settings,
            store: &self.store,
            files: &self.files,
            spool: &self.spool,
            broker: &self.broker,
            webhooks: &self.webhooks,
        };
        let join = |builder, (served, concurrency): &(ServedQueue, Concurrency)| {
            jobs::join(builder, served, concurrency.clone(), &context)
        };
        Ok(self.served.iter().fold(builder, join).build()?)
    }

    /// Enqueues the regular job if this process serves its queue.
    fn keep_enqueueing<J: Regular>(&self) {
        if self.served.iter().any(|(served, _)| served.queue.name == J::QUEUE) {
            let producer = Producer::new(Arc::clone(&self.broker));
            tokio::spawn(jobs::keep_enqueueing::<J>(producer, self.background.clone()));
        }
    }

    /// Starts to read the totals of the queues, which only a process that reports rates needs.
    pub fn follow_queues(&self) {
        self.telemetry.follow_queues(self.background.clone());
    }

    /// Checks that the job store answers.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] if it does not answer.
    pub async fn broker_answers(&self) -> Result<(), BrokerError> {
        self.broker.counts(ImportSchedules::QUEUE).await.map(|_| ())
    }

    /// Fails if an open database file was deleted, moved or replaced. No writes are accepted then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Gone`] with the path and advice.
    pub fn ensure_in_place(&self) -> Result<(), StoreError> {
        self.store.ensure_in_place()?;
        self.queue_file.as_ref().map_or(Ok(()), |file| file.ensure_in_place().map_err(StoreError::Gone))
    }

    /// Stops the background tasks, and closes the databases and connections.
    pub async fn stop(&self) {
        // While the metrics can still be read.
        if let Some(export) = &self.export {
            export.end().await;
        }
        self.background.cancel();
        self.telemetry.alerts().unshared().await;
        // One after the other: of connections that close together, none merges the log into the
        // file.
        self.coherence.ended().await;
        self.store.close().await;
        if let Some(broker) = &self.queue_file {
            broker.close().await;
        }
        if let Some(redis) = &self.redis {
            redis.close();
        }
        // Slow statements of the last second, which the ticker has not logged.
        self.telemetry.log_slow();
    }
}

/// Opens the broker. Also returns it as a file broker if it must be closed.
async fn open_jobs(
    settings: &Settings,
    redis: Option<&Redis>,
) -> Result<(Arc<dyn Broker>, Option<Arc<SqliteBroker>>), StartError> {
    let Some(redis) = redis else {
        let options = SqliteOptions::default().report_statements(true);
        let broker = Arc::new(SqliteBroker::open(&settings.queue_path(), options).await?);
        return Ok((Arc::clone(&broker) as _, Some(broker)));
    };
    let partitions = settings.queue.partitions;
    // A worker waits for each partition of each queue on a separate connection.
    let connections = u32::from(partitions) * u32::try_from(settings.queue.served.len()).unwrap_or(u32::MAX);
    let pool = BlockingPool::new(redis.queue().config(), Role::Durable, connections);
    let options = RedisOptions::new().partitions(partitions);
    let broker = RedisBroker::connect(redis.queue().clone(), pool, redis.keyspace().clone(), options);
    Ok((Arc::new(broker), None))
}

/// Logs when a database file is missing at its path, and when it is there again. Without this, a
/// node without writes and probes would not report it.
async fn watch_files(store: Store, queue_file: Option<Arc<SqliteBroker>>, stop: CancellationToken) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let mut is_gone = false;
    while stop.run_until_cancelled(every_second.tick()).await.is_some() {
        let queue = || queue_file.as_ref().map_or(Ok(()), |file| file.ensure_in_place().map_err(StoreError::Gone));
        let found = store.ensure_in_place().and_then(|()| queue());
        match &found {
            Err(error) if !is_gone => {
                tracing::error!(%error, "the data directory is gone; nothing is written any more");
            }
            Ok(()) if is_gone => tracing::info!("the data directory is back; it is written to again"),
            _ => {}
        }
        is_gone = found.is_err();
    }
}
