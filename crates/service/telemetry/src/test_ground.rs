//! Telemetry with a job store in a new directory, for tests.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_base::clock::unix_ms;
use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthConfig, HealthMonitor};
use tidegate_queue::{SqliteBroker, SqliteOptions};
use tidegate_settings::test_ground::check_with;
use tokio_util::sync::CancellationToken;

use super::{CacheWatch, Observed, Section, Telemetry, Tick};

pub(super) struct Ground {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) broker: Arc<SqliteBroker>,
    pub(super) directory: TempDir,
}

impl Ground {
    /// The ticker has ended before it begins: the test ticks itself.
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables set.
    pub(super) async fn with(variables: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let settings = check_with(variables).unwrap();
        let path = directory.path().join("queue.db");
        let broker = Arc::new(SqliteBroker::open(&path, SqliteOptions::default()).await.unwrap());
        let (registry, slow_log) = super::registry(&settings.performance, []);
        let watched = Observed {
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

    /// Lets these seconds pass for the alerts. Health stays unknown.
    pub(super) fn pass(&self, seconds: Range<u64>) {
        for second in seconds {
            let health = HealthMonitor::new(&HealthConfig::default()).evaluate([]);
            let now = Duration::from_secs(second);
            let tick = Tick { now, unix_ms: unix_ms(), registry: self.telemetry.registry(), health: &health };
            self.telemetry.alerts().tick(&tick);
        }
    }

    /// Returns the alert of a rule and subject: a firing one, else a pending one, else the last
    /// ended one.
    pub(super) fn alert(&self, rule: &str, subject: &str) -> Option<Value> {
        let told = self.telemetry.alerts().json(100);
        let items = told["items"].as_array().into_iter().flatten();
        items.into_iter().find(|item| item["rule"] == rule && item["subject"] == subject).cloned()
    }

    /// Returns the phase of that alert. Empty if there is none.
    pub(super) fn phase(&self, rule: &str, subject: &str) -> String {
        let alert = self.alert(rule, subject).unwrap_or_default();
        alert["phase"].as_str().unwrap_or_default().to_owned()
    }
}
