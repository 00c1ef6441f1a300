//! Telemetry over a job store in a directory of its own, for tests.

use std::sync::Arc;

use tempfile::TempDir;
use tidegate_cache::TieredCache;
use tidegate_queue::{SqliteBroker, SqliteOptions};
use tokio_util::sync::CancellationToken;

use super::{CacheWatch, Telemetry, Watched};
use crate::settings::test_ground::check_with;

pub(super) struct Ground {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) broker: Arc<SqliteBroker>,
    pub(super) directory: TempDir,
}

impl Ground {
    /// Its pulse has ended before it began: whoever tests beats himself.
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables set.
    pub(super) async fn with(variables: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let settings = check_with(variables).unwrap();
        let path = directory.path().join("queue.db");
        let broker = Arc::new(SqliteBroker::open(&path, SqliteOptions::default()).await.unwrap());
        let (registry, slow_log) = super::registry(&settings.performance);
        let watched = Watched {
            cache_watch: Arc::new(CacheWatch::new(&registry, false)),
            registry,
            slow_log,
            cache: TieredCache::builder().build(),
            broker: Arc::clone(&broker) as _,
            redis: None,
        };
        let ended = CancellationToken::new();
        ended.cancel();
        let telemetry = Telemetry::start(watched, &settings.performance, ended);
        Self { telemetry, broker, directory }
    }
}
