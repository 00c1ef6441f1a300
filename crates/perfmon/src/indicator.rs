//! The readings that the registry itself can give.

use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::StatusClass;
use crate::latency::share;
use crate::operation::Kind;
use crate::reading::Reading;
use crate::registry::Registry;
use crate::series::Interval;
use crate::snapshot::Snapshot;
use crate::window::Window;

/// The limits of the built-in readings.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthConfig {
    /// The window they look at; 5 minutes.
    pub window: Window,
    /// Share of 5xx among all responses; 0.05.
    pub error_rate: f64,
    /// 99th percentile of all responses; 5 s.
    pub p99: Duration,
    /// 95th percentile of the slowest endpoint; 2 s.
    pub slow_api: Duration,
    /// 95th percentile of the slowest database operation; 1 s.
    pub slow_query: Duration,
    /// With fewer samples a reading is unknown; 20.
    pub min_samples: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            window: Window::Minutes(5),
            error_rate: 0.05,
            p99: Duration::from_secs(5),
            slow_api: Duration::from_secs(2),
            slow_query: Duration::from_secs(1),
            min_samples: 20,
        }
    }
}

impl Registry {
    /// The built-in readings over the window of [`HealthConfig`]:
    ///
    /// - `error_rate` (critical): the share of 5xx among all responses;
    /// - `p99` (critical): the 99th percentile of all responses. The threshold is an exact edge of the buckets, so that it
    ///   is exceeded exactly when more than 1 % of the responses took longer;
    /// - `slow_api`: the 95th percentile of the slowest endpoint, exceeded exactly when more than 5 % of its responses took
    ///   longer: one outlier is no incident. Endpoints with too few samples are passed over;
    /// - `slow_query`: the same for operations of [`Kind::Database`]; left out when there is none.
    ///
    /// Costs a pass over the window of every endpoint.
    pub fn readings(&self) -> Vec<Reading> {
        let inner = self.inner();
        let config = &inner.health;
        let mut all = Snapshot::empty(Arc::clone(&inner.layout));
        let (mut errors, mut responses) = (0, 0);
        let mut slowest = Slowest::new(config.min_samples);
        for endpoint in inner.endpoints.all() {
            let Interval { latency, tallies, .. } = endpoint.series().window(config.window);
            errors += tallies[StatusClass::ServerError as usize];
            responses += tallies[..=StatusClass::ServerError as usize].iter().sum::<u64>();
            all.merge(&latency);
            slowest.consider(&latency, || format!("{} {}", endpoint.method(), endpoint.route()));
        }
        let p99 = all.quantile(0.99).unwrap_or_default();
        let mut readings = vec![
            Reading::new("error_rate", share(errors, responses), config.error_rate)
                .critical()
                .samples(responses)
                .detail(format!("{errors} of {responses} responses")),
            Reading::new("p99", p99.as_secs_f64(), config.p99.as_secs_f64())
                .critical()
                .samples(all.count())
                .unit("s")
                .detail(format!("{} of {} responses took over {:?}", all.over(config.p99), all.count(), config.p99)),
            slowest.reading("slow_api", config.slow_api),
        ];

        let mut slowest = Slowest::new(config.min_samples);
        let mut queries = inner.operations.all();
        queries.retain(|operation| operation.kind == Kind::Database);
        for query in &queries {
            slowest.consider(&query.series.window(config.window).latency, || query.name.clone());
        }
        if !queries.is_empty() {
            readings.push(slowest.reading("slow_query", config.slow_query));
        }
        readings
    }
}

/// The series with the highest 95th percentile among those with enough samples; without any such, the largest.
struct Slowest {
    min_samples: u64,
    samples: u64,
    p95: Duration,
    name: Option<String>,
}

impl Slowest {
    fn new(min_samples: u64) -> Self {
        Self { min_samples, samples: 0, p95: Duration::ZERO, name: None }
    }

    fn consider(&mut self, latency: &Snapshot, name: impl FnOnce() -> String) {
        let p95 = latency.quantile(0.95).unwrap_or_default();
        let rank = |samples: u64, p95: Duration| {
            if samples < self.min_samples { (samples, None) } else { (u64::MAX, Some(p95)) }
        };
        if rank(latency.count(), p95) > rank(self.samples, self.p95) {
            (self.samples, self.p95, self.name) = (latency.count(), p95, Some(name()));
        }
    }

    fn reading(self, indicator: &'static str, threshold: Duration) -> Reading {
        let reading = Reading::new(indicator, self.p95.as_secs_f64(), threshold.as_secs_f64());
        let reading = reading.samples(self.samples).unit("s");
        match self.name {
            Some(name) => reading.detail(format!("P95 of {name}")),
            None => reading,
        }
    }
}
