//! The rate limiters of this process and their metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_ratelimit::LimiterStats;

use super::Sources;
use super::exposition::Family;

/// Name of a limiter, and the source of its counts.
type Source = (&'static str, Box<dyn Fn() -> LimiterStats + Send + Sync>);

/// The registered limiters.
#[derive(Default)]
pub(super) struct Limiters(Mutex<Vec<Source>>);

impl Limiters {
    pub(super) fn add(&self, name: &'static str, stats: impl Fn() -> LimiterStats + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(stats)));
    }

    /// Returns the counts of each limiter since the start.
    pub(super) fn stats(&self) -> Vec<(&'static str, LimiterStats)> {
        let limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.iter().map(|(name, stats)| (*name, stats())).collect()
    }

    /// Registers their metrics.
    pub(super) fn register(self: &Arc<Self>, sources: &Sources) {
        let limiters = Arc::clone(self);
        sources.figures(move || Box::new(Figures(limiters.stats())));
    }
}

/// All limiters at one moment.
#[derive(Debug)]
struct Figures(Vec<(&'static str, LimiterStats)>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let mut family =
            Family::new(encoder, "tidegate_ratelimit_decisions", "Rate limit checks by decision", MetricType::Counter)?;
        for (limiter, stats) in &self.0 {
            family.counter(&[("limiter", limiter), ("decision", "allowed")], stats.allowed)?;
            family.counter(&[("limiter", limiter), ("decision", "denied")], stats.denied)?;
            family.counter(&[("limiter", limiter), ("decision", "failed")], stats.failed)?;
        }
        let alone = "Checks decided by this process alone because Redis did not answer in time";
        let evicted_live = "Keys evicted while they still had usage";
        self.of_limiters(encoder, "tidegate_ratelimit_alone", alone, MetricType::Counter, |stats| stats.alone)?;
        self.of_limiters(encoder, "tidegate_ratelimit_evicted_live", evicted_live, MetricType::Counter, |stats| {
            stats.evicted_live
        })?;
        self.of_limiters(encoder, "tidegate_ratelimit_tracked_keys", "Keys held", MetricType::Gauge, |stats| {
            stats.tracked_keys
        })?;
        self.of_limiters(
            encoder,
            "tidegate_ratelimit_blocked_keys",
            "Keys that are blocked",
            MetricType::Gauge,
            |stats| stats.blocked_keys,
        )
    }
}

impl Figures {
    /// Writes one series for each limiter.
    fn of_limiters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        value: fn(&LimiterStats) -> u64,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, kind)?;
        for (limiter, stats) in &self.0 {
            let labels = [("limiter", *limiter)];
            match kind {
                MetricType::Counter => family.counter(&labels, value(stats))?,
                _ => family.gauge(&labels, value(stats))?,
            }
        }
        Ok(())
    }
}
