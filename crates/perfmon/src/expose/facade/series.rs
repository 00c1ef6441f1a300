//! What a handle adds to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{CounterFn, GaugeFn, HistogramFn};

use super::figure::BridgedFigure;
use super::scale::Scale;
use crate::histogram::Histogram;
use crate::histogram::layout::Layout;

/// The most equal values that are recorded at once: each of them costs a record.
const MOST_AT_ONCE: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// A gauge, as the bits of a finite number.
#[derive(Debug)]
pub(super) struct Level {
    bits: AtomicU64,
    rejected: Arc<AtomicU64>,
}

impl Level {
    pub(super) fn new(rejected: Arc<AtomicU64>) -> Self {
        Self { bits: AtomicU64::new(0.0_f64.to_bits()), rejected }
    }

    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    fn change(&self, change: impl Fn(f64) -> f64) {
        let changed = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let value = change(f64::from_bits(bits));
            value.is_finite().then_some(value.to_bits())
        });
        if changed.is_err() {
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.change(|now| now + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|now| now - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

#[derive(Debug)]
pub(super) struct Samples {
    histogram: Histogram,
    scale: Scale,
    rejected: Arc<AtomicU64>,
}

impl Samples {
    pub(super) fn new(scale: Scale, rejected: Arc<AtomicU64>) -> Self {
        let layout = Layout::new(scale.bounds().map(|(bound, _)| bound));
        Self { histogram: Histogram::new(Arc::new(layout)), scale, rejected }
    }

    pub(super) fn figure(&self) -> BridgedFigure {
        let snapshot = self.histogram.snapshot();
        BridgedFigure::Histogram {
            buckets: self.scale.bounds().map(|(bound, shown)| (shown, snapshot.at_most(bound))).to_vec(),
            count: snapshot.count(),
            sum: self.scale.value(snapshot.sum()),
        }
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let Some(duration) = self.scale.duration(value) else {
            self.rejected.fetch_add(count as u64, Ordering::Relaxed);
            return;
        };
        (0..count.min(MOST_AT_ONCE)).for_each(|_| self.histogram.record(duration));
        self.rejected.fetch_add(count.saturating_sub(MOST_AT_ONCE) as u64, Ordering::Relaxed);
    }
}
