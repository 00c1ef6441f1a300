//! A meter in one window.

use std::time::Duration;

use crate::histogram::snapshot::Snapshot;
use crate::record::meter::grain::Grain;

/// A meter in one window.
#[derive(Debug, Clone)]
pub struct MeterWindow {
    pub(super) grain: Grain,
    pub(super) latency: Snapshot,
    pub(super) covered: Duration,
}

impl MeterWindow {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.latency.count()
    }

    /// All of them together, each as at most a day, or a thousand where the grain is a microsecond.
    pub fn sum(&self) -> Duration {
        self.scaled(self.latency.sum())
    }

    /// The arithmetic mean; `None` without samples.
    pub fn mean(&self) -> Option<Duration> {
        self.latency.mean().map(|time| self.scaled(time))
    }

    /// As [`Snapshot::quantile`]: never below the true sample, and at most 1.6 % above it.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.latency.quantile(q).map(|time| self.scaled(time))
    }

    /// The largest, with the error of a quantile.
    pub fn max(&self) -> Option<Duration> {
        self.latency.max().map(|time| self.scaled(time))
    }

    /// Returns how many took longer than `threshold`. It is exact at the meter's bounds; otherwise
    /// it leaves out the samples in the bucket that is cut.
    pub fn over(&self, threshold: Duration) -> u64 {
        self.latency.over(threshold / self.grain.nanos())
    }

    /// The time that these figures stand for; less than the window while the process is young.
    pub fn covered(&self) -> Duration {
        self.covered
    }

    fn scaled(&self, time: Duration) -> Duration {
        time.saturating_mul(self.grain.nanos())
    }
}
