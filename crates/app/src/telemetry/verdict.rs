//! What health is judged by beside the registry's own readings: how the cache does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_cache::CacheStats;
use tidegate_perfmon::{HealthConfig, Reading, Snapshot};

/// What is looked back on.
const WINDOW: Duration = Duration::from_secs(300);
/// Time between two looks at the counters, a whole part of the window.
const SPACING: Duration = Duration::from_secs(10);
/// More than this share of the lookups may not be slow: their 95th percentile is.
const SLOW_SHARE: f64 = 0.05;

/// What a cache has done since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheCounts {
    lookups: u64,
    /// Those that either tier answered.
    hits: u64,
    /// Those that were timed, which of memory are a sample.
    timed: u64,
    slow: u64,
}

impl CacheCounts {
    /// From what the cache counts, and the times of its tiers; above `slow` one is slow.
    pub(super) fn of(stats: &CacheStats, latencies: &[Snapshot], slow: Duration) -> Self {
        let classes = &stats.classes;
        Self {
            lookups: classes.iter().map(|class| class.hits + class.stale_hits + class.misses).sum(),
            hits: classes.iter().map(|class| class.hits + class.stale_hits + class.shared_hits).sum(),
            timed: latencies.iter().map(Snapshot::count).sum(),
            slow: latencies.iter().map(|latency| latency.over(slow)).sum(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            lookups: self.lookups.saturating_sub(before.lookups),
            hits: self.hits.saturating_sub(before.hits),
            timed: self.timed.saturating_sub(before.timed),
            slow: self.slow.saturating_sub(before.slow),
        }
    }
}

/// Judges the cache over the last five minutes.
#[derive(Debug)]
pub(super) struct CacheVerdict {
    config: HealthConfig,
    slow: Duration,
    looks: Mutex<VecDeque<(Duration, CacheCounts)>>,
}

impl CacheVerdict {
    pub(super) fn new(config: &HealthConfig, slow: Duration) -> Self {
        Self { config: config.clone(), slow, looks: Mutex::default() }
    }

    /// Above this a lookup is slow.
    pub(super) fn slow(&self) -> Duration {
        self.slow
    }

    /// `cache_misses` and `cache_slow`, as of the last look, of which there is one in ten seconds. None before there is a whole
    /// window to look back on: a cache that is being filled misses by nature.
    pub(super) fn readings(&self, now: Duration, count: impl FnOnce() -> CacheCounts) -> Vec<Reading> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SPACING) {
            looks.push_back((now, count()));
        }
        let Some(&(newest, held)) = looks.back() else { return Vec::new() };
        // The oldest that is kept is the last one that lies a whole window back.
        while looks.get(1).is_some_and(|(at, _)| newest.saturating_sub(*at) >= WINDOW) {
            looks.pop_front();
        }
        let Some(&(_, before)) = looks.front().filter(|(at, _)| newest.saturating_sub(*at) >= WINDOW) else {
            return Vec::new();
        };
        let CacheCounts { lookups, hits, timed, slow } = held.since(before);
        let age = now.saturating_sub(newest);
        #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2⁵³ in five minutes")]
        let share = if timed == 0 { 0.0 } else { slow as f64 / timed as f64 };
        let slow = Reading::new("cache_slow", share, SLOW_SHARE)
            .samples(timed)
            .detail(format!("{slow} of {timed} lookups took over {:?}", self.slow));
        vec![self.config.cache_hits(hits, lookups).taken_ago(age), slow.taken_ago(age)]
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::{HealthMonitor, HealthReport};

    use super::*;

    /// The report of the second `at`, at which the cache has counted so much.
    fn judge(verdict: &CacheVerdict, at: u64, counts: CacheCounts) -> HealthReport {
        let readings = verdict.readings(Duration::from_secs(at), || counts);
        HealthMonitor::new(&HealthConfig::default()).evaluate(readings)
    }

    fn observed(report: &HealthReport, name: &str) -> Option<f64> {
        report.components.iter().find(|component| component.name == name)?.observed
    }

    fn counts(lookups: u64, hits: u64, timed: u64, slow: u64) -> CacheCounts {
        CacheCounts { lookups, hits, timed, slow }
    }

    #[test]
    fn a_cache_that_is_being_filled_is_not_judged() {
        let verdict = CacheVerdict::new(&HealthConfig::default(), Duration::from_millis(10));
        for second in 0..300 {
            let report = judge(&verdict, second, counts(second * 100, 0, second, second));
            assert!(report.components.is_empty(), "second {second}: {report:?}");
        }
        let report = judge(&verdict, 300, counts(30_000, 0, 300, 300));
        assert_eq!((observed(&report, "cache_misses"), observed(&report, "cache_slow")), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn only_the_last_five_minutes_count() {
        let verdict = CacheVerdict::new(&HealthConfig::default(), Duration::from_millis(10));
        // Nothing but misses for an hour, then nothing but hits.
        let at = |second: u64| counts(second * 10, second.saturating_sub(3_600) * 10, second, second.min(3_600));
        let mut last = None;
        for second in 0..=3_960 {
            last = Some(judge(&verdict, second, at(second)));
            if second == 3_600 {
                assert_eq!(observed(last.as_ref().unwrap(), "cache_misses"), Some(1.0));
            }
        }
        let last = last.unwrap();
        assert_eq!((observed(&last, "cache_misses"), observed(&last, "cache_slow")), (Some(0.0), Some(0.0)));
        assert!(verdict.looks.lock().unwrap().len() <= 32);
    }

    #[test]
    fn four_fifths_of_hits_suffice_and_one_lookup_less_does_not() {
        for (hits, is_breached) in [(800, false), (799, true)] {
            let verdict = CacheVerdict::new(&HealthConfig::default(), Duration::from_millis(10));
            judge(&verdict, 0, CacheCounts::default());
            let report = judge(&verdict, 300, counts(1_000, hits, 1_000, if is_breached { 51 } else { 50 }));
            let held: Vec<_> = report.components.iter().map(|component| component.held).collect();
            assert_eq!(held, [is_breached, is_breached], "{report:?}");
        }
    }
}
