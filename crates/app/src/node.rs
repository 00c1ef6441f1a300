//! A node: what one process holds, whichever binary it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_cache::{Capacity, TieredCache};
use tidegate_queue::{
    Broker, BrokerError, BuildError, Job, QueueOptions, SqliteBroker, SqliteOptions, Worker, WorkerError,
};
use tokio_util::sync::CancellationToken;

use crate::jobs::{ImportHandler, ImportSchedules, Pace};
use crate::settings::{Settings, SettingsError};
use crate::spool::Spool;
use crate::spool_sweep::Sweep;
use crate::store::{self, Coherence, Store};
use crate::telemetry::{CacheLatency, Telemetry};

/// Everything that routes and jobs work on.
pub struct Node {
    /// The settings in force.
    pub settings: Settings,
    /// The cache of this process.
    pub cache: TieredCache,
    /// The tables.
    pub store: Store,
    /// What keeps the cache true to other processes' commits.
    pub coherence: Coherence,
    /// The jobs.
    pub broker: Arc<SqliteBroker>,
    /// Uploads on their way to a job.
    pub spool: Spool,
    /// Figures and health.
    pub telemetry: Arc<Telemetry>,
    background: CancellationToken,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why a process did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The application's database can't be used.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The queue's database can't be used.
    #[error(transparent)]
    Queue(#[from] tidegate_queue::OpenError),
    /// The spool can't be used.
    #[error("spool in {path} can't be used: {source}", path = path.display())]
    Spool {
        /// The data directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}; is another process using it? Choose another with {variable}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that chooses it.
        variable: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The worker can't be put together.
    #[error("worker: {0}")]
    Worker(#[from] BuildError),
    /// The worker could not go on; until then it worked.
    #[error("the worker ended: {0}")]
    Ended(#[from] WorkerError),
    /// The machine refuses something basic, such as a thread.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// Exit code of the process: 2 for settings, 3 for data that can't be used, 4 for the address, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) => 2,
            Self::Store(_) | Self::Queue(_) | Self::Spool { .. } => 3,
            Self::Listen { .. } => 4,
            Self::Worker(_) | Self::Ended(_) | Self::System(_) => 1,
        }
    }
}

impl Node {
    /// Opens both databases and starts what runs beside requests and jobs.
    ///
    /// # Errors
    ///
    /// When the data directory or a file in it can't be used.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let background = CancellationToken::new();
        let cache_latency = Arc::new(CacheLatency::default());
        let cache = TieredCache::builder()
            .capacity(Capacity::Bytes(settings.cache_size))
            .observer(Arc::clone(&cache_latency) as _)
            .build();
        let (store, coherence) = Store::open(&settings.database_path(), cache.clone(), background.clone()).await?;
        let broker = Arc::new(SqliteBroker::open(&settings.queue_path(), SqliteOptions::default()).await?);
        let spool = Spool::open(&settings.data_dir)
            .await
            .map_err(|source| StartError::Spool { path: settings.data_dir.clone(), source })?;
        let telemetry = Telemetry::start(cache.clone(), cache_latency, Arc::clone(&broker) as _, background.clone());
        Ok(Self { settings, cache, store, coherence, broker, spool, telemetry, background })
    }

    /// The worker of this process, with every handler; it serves once it is run.
    ///
    /// # Errors
    ///
    /// When a setting of the queues doesn't fit the worker.
    pub fn worker(&self) -> Result<Worker, StartError> {
        let queue = &self.settings.queue;
        let sweep = Sweep {
            spool: self.spool.clone(),
            store: self.store.clone(),
            broker: Arc::clone(&self.broker) as _,
            upload_timeout: self.settings.http.upload_timeout,
        };
        tokio::spawn(sweep.run(self.background.clone()));
        let import = ImportHandler {
            store: self.store.clone(),
            spool: self.spool.clone(),
            pace: Pace { chunk: queue.import_chunk, pause: queue.import_pause },
            max_rejects: queue.import_max_rejects,
        };
        let worker = Worker::builder(Arc::clone(&self.broker) as _)
            .queue(
                ImportSchedules::QUEUE,
                QueueOptions::new().concurrency(queue.import_concurrency).timeout(queue.import_timeout),
            )
            .handler::<ImportSchedules, _>(import)
            .lease(queue.lease)
            .grace(queue.grace)
            .build()?;
        Ok(worker)
    }

    /// Whether the job store answers.
    ///
    /// # Errors
    ///
    /// When it doesn't.
    pub async fn broker_answers(&self) -> Result<(), BrokerError> {
        self.broker.counts(ImportSchedules::QUEUE).await.map(|_| ())
    }

    /// Ends what runs in the background and closes the databases.
    pub async fn stop(&self) {
        self.background.cancel();
        // One after the other: of connections that close at the same time, none folds the log into the file.
        self.coherence.ended().await;
        self.store.close().await;
        self.broker.close().await;
    }
}
