//! The reading of the cache's hit rate for the health report, in addition to the registry's own
//! readings.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_cache::CacheStats;
use tidegate_perfmon::{HealthConfig, Reading};

/// Window of the hit rate.
const WINDOW: Duration = Duration::from_secs(300);
/// Interval between two readings of the counters. The window is a multiple of it.
const SPACING: Duration = Duration::from_secs(10);

/// Counts of a cache since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheCounts {
    lookups: u64,
    /// Lookups that either tier answered.
    hits: u64,
}

impl CacheCounts {
    /// Reads the counts from the cache's statistics.
    pub(super) fn of(stats: &CacheStats) -> Self {
        let classes = &stats.classes;
        Self {
            lookups: classes.iter().map(|class| class.hits + class.stale_hits + class.misses).sum(),
            hits: classes.iter().map(|class| class.hits + class.stale_hits + class.shared_hits).sum(),
        }
    }
}

/// Judges the cache over the last five minutes.
#[derive(Debug)]
pub(super) struct CacheVerdict {
    config: HealthConfig,
    looks: Mutex<VecDeque<(Duration, CacheCounts)>>,
}

impl CacheVerdict {
    pub(super) fn new(config: &HealthConfig) -> Self {
        Self { config: config.clone(), looks: Mutex::default() }
    }

    /// Returns `cache_misses` as of the last reading of the counters, which are read every ten
    /// seconds. `None` until there is a whole window: a cache that is being filled has many misses.
    pub(super) fn reading(&self, now: Duration, count: impl FnOnce() -> CacheCounts) -> Option<Reading> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SPACING) {
            looks.push_back((now, count()));
        }
        let &(newest, held) = looks.back()?;
        // The oldest entry that is kept is the last one that is at least a whole window old.
        while looks.get(1).is_some_and(|(at, _)| newest.saturating_sub(*at) >= WINDOW) {
            looks.pop_front();
        }
        let &(_, before) = looks.front().filter(|(at, _)| newest.saturating_sub(*at) >= WINDOW)?;
        let (hits, lookups) = (held.hits.saturating_sub(before.hits), held.lookups.saturating_sub(before.lookups));
        Some(self.config.cache_hits(hits, lookups).taken_ago(now.saturating_sub(newest)))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::{HealthMonitor, HealthReport};

    use super::*;

    /// Returns the report of second `at`, at which the cache has these counts.
    fn judge(verdict: &CacheVerdict, at: u64, lookups: u64, hits: u64) -> HealthReport {
        let reading = verdict.reading(Duration::from_secs(at), || CacheCounts { lookups, hits });
        HealthMonitor::new(&HealthConfig::default()).evaluate(reading)
    }

    fn observed(report: &HealthReport) -> Option<f64> {
        report.components.iter().find(|component| component.name == "cache_misses")?.observed
    }

    #[test]
    fn a_cache_that_is_being_filled_is_not_judged() {
        let verdict = CacheVerdict::new(&HealthConfig::default());
        for second in 0..300 {
            let report = judge(&verdict, second, second * 100, 0);
            assert!(report.components.is_empty(), "second {second}: {report:?}");
        }
        assert_eq!(observed(&judge(&verdict, 300, 30_000, 0)), Some(1.0));
    }

    #[test]
    fn only_the_last_five_minutes_count() {
        let verdict = CacheVerdict::new(&HealthConfig::default());
        // Only misses for an hour, then only hits.
        let mut last = None;
        for second in 0..=3_960 {
            let report = judge(&verdict, second, second * 10, second.saturating_sub(3_600) * 10);
            if second == 3_600 {
                assert_eq!(observed(&report), Some(1.0));
            }
            last = Some(report);
        }
        assert_eq!(observed(&last.unwrap()), Some(0.0));
        assert!(verdict.looks.lock().unwrap().len() <= 32);
    }

    #[test]
    fn four_fifths_of_hits_suffice_and_one_lookup_less_does_not() {
        for (hits, is_breached) in [(800, false), (799, true)] {
            let verdict = CacheVerdict::new(&HealthConfig::default());
            judge(&verdict, 0, 0, 0);
            let report = judge(&verdict, 300, 1_000, hits);
            let held: Vec<_> = report.components.iter().map(|component| component.held).collect();
            assert_eq!(held, [is_breached], "{report:?}");
        }
    }
}
