//! Times of jobs: from microseconds to a day.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use tidegate_perfmon::{Histogram, Layout, Snapshot};
use tokio::time::Instant;

/// Histograms reach to 137 s with a resolution of a nanosecond. Jobs may run for a day, and nobody asks for their
/// nanoseconds: a microsecond is filed as a nanosecond.
const SCALE: u32 = 1_000;
/// What [`Stopwatch::recent`] looks back on: between this and twice this.
pub(super) const PERIOD: Duration = Duration::from_secs(300);

/// Upper bounds of the exposed buckets, in milliseconds.
const BOUNDS_MS: [u64; 16] =
    [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 300_000, 1_800_000, 7_200_000];

static LAYOUT: LazyLock<Arc<Layout>> =
    LazyLock::new(|| Arc::new(Layout::new(BOUNDS_MS.iter().map(|ms| Duration::from_millis(*ms) / SCALE))));

/// Times since the start of the process, and those of the last minutes.
#[derive(Debug)]
pub(super) struct Stopwatch {
    total: Histogram,
    recent: RwLock<Recent>,
}

/// Every time goes into both; at the end of a period the younger takes the older's place. So the older always has at
/// least one period behind it.
#[derive(Debug)]
struct Recent {
    older: Histogram,
    younger: Histogram,
    since: Instant,
}

fn histogram() -> Histogram {
    Histogram::new(Arc::clone(&LAYOUT))
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        let recent = Recent { older: histogram(), younger: histogram(), since: Instant::now() };
        Self { total: histogram(), recent: RwLock::new(recent) }
    }

    pub(super) fn record(&self, time: Duration) {
        let filed = (time / SCALE).max(Duration::from_nanos(1));
        self.total.record(filed);
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.older.record(filed);
        recent.younger.record(filed);
    }

    /// Ends a period where its time is over.
    pub(super) fn turn(&self) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let silent_for = recent.since.elapsed();
        if silent_for < PERIOD {
            return;
        }
        let younger = std::mem::replace(&mut recent.younger, histogram());
        recent.older = if silent_for < 2 * PERIOD { younger } else { histogram() };
        recent.since = Instant::now();
    }

    /// The times of the last minutes.
    pub(super) fn recent(&self) -> Times {
        self.turn();
        Times(self.recent.read().unwrap_or_else(PoisonError::into_inner).older.snapshot())
    }

    /// All times since the start.
    pub(super) fn total(&self) -> Times {
        Times(self.total.snapshot())
    }
}

/// Times at one moment.
pub(super) struct Times(Snapshot);

impl Times {
    pub(super) fn count(&self) -> u64 {
        self.0.count()
    }

    pub(super) fn sum(&self) -> Duration {
        self.0.sum() * SCALE
    }

    pub(super) fn quantile(&self, q: f64) -> Option<Duration> {
        self.0.quantile(q).map(|time| time * SCALE)
    }

    /// `(upper bound in seconds, times at or below it)`, without `+Inf`, which is the count.
    pub(super) fn cumulative(&self) -> Vec<(f64, u64)> {
        let bound = |ms: &u64| Duration::from_millis(*ms);
        BOUNDS_MS.iter().map(|ms| (bound(ms).as_secs_f64(), self.0.at_most(bound(ms) / SCALE))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hours_are_told_from_days_and_bounds_are_exact() {
        let watch = Stopwatch::new();
        for ms in [0, 1, 5, 6, 3_600_000, 86_400_000] {
            watch.record(Duration::from_millis(ms));
        }
        let times = watch.total();
        assert_eq!((times.count(), times.sum().as_secs()), (6, 90_000));
        let cumulative = times.cumulative();
        assert_eq!((cumulative[0], cumulative[1], cumulative[2]), ((0.001, 2), (0.005, 3), (0.01, 4)));
        assert_eq!(cumulative.last(), Some(&(7_200.0, 5)));
        let longest = times.quantile(1.0).unwrap().as_secs_f64();
        assert!((86_400.0..86_400.0 * 1.016).contains(&longest), "{longest}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_recent_ends() {
        let watch = Stopwatch::new();
        watch.record(Duration::from_secs(1));
        tokio::time::advance(PERIOD).await;
        assert_eq!(watch.recent().count(), 1);
        watch.record(Duration::from_secs(2));
        tokio::time::advance(PERIOD).await;
        assert_eq!(watch.recent().count(), 1);
        tokio::time::advance(2 * PERIOD).await;
        assert_eq!((watch.recent().count(), watch.total().count()), (0, 2));
    }
}
