//! What both binaries tell about themselves: log, figures, health.

mod cache_latency;
mod exposition;
mod logging;
mod pulse;

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_cache::TieredCache;
use tidegate_perfmon::{HealthMonitor, HealthReport, Registry, Snapshot};
use tidegate_queue::Broker;
use tidegate_ratelimit::LimiterStats;
use tokio_util::sync::CancellationToken;

pub use cache_latency::CacheLatency;
pub use exposition::CONTENT_TYPE;
pub use logging::init as init_logging;

/// The figures of one process, and the verdict on them.
pub struct Telemetry {
    registry: Registry,
    monitor: Mutex<HealthMonitor>,
    report: Mutex<Option<HealthReport>>,
    cache: TieredCache,
    cache_latency: Arc<CacheLatency>,
    broker: Arc<dyn Broker>,
    limiters: Mutex<Vec<LimiterSource>>,
}

/// Where a limiter's counts come from, by its name.
type LimiterSource = (&'static str, Box<dyn Fn() -> LimiterStats + Send + Sync>);

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the pulse, which files the figures of each second and judges them, until `shutdown`.
    pub fn start(
        cache: TieredCache,
        cache_latency: Arc<CacheLatency>,
        broker: Arc<dyn Broker>,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let registry = Registry::builder().build();
        let monitor = Mutex::new(HealthMonitor::new(registry.health_config()));
        let telemetry = Arc::new(Self {
            registry,
            monitor,
            report: Mutex::new(None),
            cache,
            cache_latency,
            broker,
            limiters: Mutex::new(Vec::new()),
        });
        tokio::spawn(pulse::run(Arc::clone(&telemetry), shutdown));
        telemetry
    }

    /// The registry of endpoints and operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Adds a limiter to what `/metrics` shows.
    pub fn watch_limiter(&self, name: &'static str, stats: impl Fn() -> LimiterStats + Send + Sync + 'static) {
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(stats)));
    }

    /// How long lookups in the cache took, on a sample of them.
    pub fn cache_latency(&self) -> Snapshot {
        self.cache_latency.snapshot()
    }

    /// The latest verdict; `None` in the first moments.
    pub fn health(&self) -> Option<HealthReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
