//! One histogram with its counters and windows: what stands behind an endpoint or an operation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::histogram::Histogram;
use crate::layout::Layout;
use crate::ring::{Delta, Ring};
use crate::snapshot::Snapshot;
use crate::stripe::TALLIES;
use crate::window::Window;

/// The place of the aborted among the tallies, after the five status classes.
pub(crate) const ABORTED: usize = 5;

#[derive(Debug)]
pub(crate) struct Series {
    histogram: Histogram,
    ledger: Mutex<Ledger>,
}

/// What ticks have read. Recorders never touch it.
#[derive(Debug)]
struct Ledger {
    elapsed: Duration,
    /// Totals per bucket. Modulo 2³² each equals the live counter at the last reading.
    counts: Vec<u64>,
    /// Likewise modulo 2⁶⁴.
    sum_nanos: u128,
    tallies: [u64; TALLIES],
    seconds: Ring,
    minutes: Ring,
    hours: Ring,
}

/// What a series holds for a window, or since its start.
#[derive(Debug)]
pub(crate) struct Interval {
    pub(crate) latency: Snapshot,
    pub(crate) tallies: [u64; TALLIES],
    /// The time that the figures stand for.
    pub(crate) covered: Duration,
}

impl Series {
    pub(crate) fn new(layout: Arc<Layout>, elapsed: Duration) -> Self {
        let ledger = Ledger {
            elapsed,
            counts: vec![0; layout.buckets()],
            sum_nanos: 0,
            tallies: [0; TALLIES],
            seconds: Ring::new(1, 60),
            minutes: Ring::new(60, 60),
            hours: Ring::new(3600, 24),
        };
        Self { histogram: Histogram::new(layout), ledger: Mutex::new(ledger) }
    }

    #[inline]
    pub(crate) fn record(&self, tally: usize, duration: Duration) {
        self.histogram.record_in(tally, duration);
    }

    /// Counts without a latency.
    pub(crate) fn count(&self, tally: usize) {
        self.histogram.count(tally);
    }

    /// Files everything recorded since the last tick. `scratch` is room to work in that series can share.
    pub(crate) fn tick(&self, elapsed: Duration, scratch: &mut Vec<u32>) {
        let mut ledger = self.ledger();
        let delta = self.unread(&ledger, elapsed, scratch);
        ledger.file(elapsed, &delta);
    }

    pub(crate) fn window(&self, window: Window) -> Interval {
        let ledger = self.ledger();
        let mut interval = Interval {
            latency: Snapshot::empty(Arc::clone(self.histogram.layout())),
            tallies: [0; TALLIES],
            covered: Duration::ZERO,
        };
        let (ring, units) = match window {
            Window::Seconds(units) => (&ledger.seconds, units),
            Window::Minutes(units) => (&ledger.minutes, units),
            Window::Hours(units) => (&ledger.hours, units),
        };
        for slot in ring.recent(ledger.elapsed, units) {
            for (bucket, count) in slot.buckets() {
                interval.latency.add(bucket, count);
            }
            interval.latency.add_sum(slot.sum_nanos());
            for (total, tally) in interval.tallies.iter_mut().zip(slot.tallies()) {
                *total += tally;
            }
            interval.covered += slot.span();
        }
        interval
    }

    /// Everything since the start, what no tick has read yet included.
    pub(crate) fn totals(&self) -> Interval {
        let ledger = self.ledger();
        let delta = self.unread(&ledger, ledger.elapsed, &mut Vec::new());
        let layout = Arc::clone(self.histogram.layout());
        let sum = ledger.sum_nanos + u128::from(delta.sum_nanos);
        let mut latency = Snapshot::new(layout, ledger.counts.clone(), sum);
        for &(bucket, count) in &delta.buckets {
            latency.add(bucket as usize, u64::from(count));
        }
        let mut tallies = ledger.tallies;
        for (total, more) in tallies.iter_mut().zip(delta.tallies) {
            *total += more;
        }
        Interval { latency, tallies, covered: ledger.elapsed }
    }

    #[expect(clippy::cast_possible_truncation, reason = "differences are taken modulo the width of the live counters")]
    fn unread(&self, ledger: &Ledger, elapsed: Duration, scratch: &mut Vec<u32>) -> Delta {
        let live_tallies = self.histogram.tallies();
        scratch.resize(ledger.counts.len(), 0);
        let sum = self.histogram.read(scratch);
        let buckets = (0u32..).zip(scratch.iter().zip(&ledger.counts)).filter_map(|(bucket, (&live, &read))| {
            let new = live.wrapping_sub(read as u32);
            (new > 0).then_some((bucket, new))
        });
        let mut tallies = [0u64; TALLIES];
        for (new, (live, read)) in tallies.iter_mut().zip(live_tallies.into_iter().zip(ledger.tallies)) {
            *new = u64::from(live.wrapping_sub(read as u32));
        }
        Delta {
            buckets: buckets.collect(),
            sum_nanos: sum.wrapping_sub(ledger.sum_nanos as u64),
            tallies,
            span: elapsed.saturating_sub(ledger.elapsed),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn preset(&self, duration: Duration, count: u32) {
        self.histogram.preset(duration, count);
    }
}

impl Ledger {
    fn file(&mut self, elapsed: Duration, delta: &Delta) {
        self.elapsed = self.elapsed.max(elapsed);
        for &(bucket, count) in &delta.buckets {
            self.counts[bucket as usize] += u64::from(count);
        }
        self.sum_nanos += u128::from(delta.sum_nanos);
        for (total, more) in self.tallies.iter_mut().zip(delta.tallies) {
            *total += more;
        }
        for ring in [&mut self.seconds, &mut self.minutes, &mut self.hours] {
            ring.add(self.elapsed, delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn series() -> Series {
        Series::new(Arc::new(Layout::default()), Duration::ZERO)
    }

    #[test]
    fn a_wrapping_bucket_loses_nothing() {
        let series = series();
        let scratch = &mut Vec::new();
        series.preset(MS, u32::MAX - 1);
        series.tick(Duration::from_secs(1), scratch);
        for _ in 0..5 {
            series.record(1, MS);
        }
        assert_eq!(series.totals().latency.count(), u64::from(u32::MAX) + 4);
        series.tick(Duration::from_secs(2), scratch);
        assert_eq!(series.totals().latency.count(), u64::from(u32::MAX) + 4);
        series.tick(Duration::from_secs(70), scratch);
        series.record(1, MS);
        series.tick(Duration::from_secs(71), scratch);
        assert_eq!(series.window(Window::Seconds(1)).latency.count(), 1);
        assert_eq!(series.totals().latency.count(), u64::from(u32::MAX) + 5);
    }

    #[test]
    fn figures_of_a_window_describe_the_same_samples() {
        let series = series();
        series.record(1, MS);
        series.record(4, 3 * MS);
        series.count(ABORTED);
        series.tick(Duration::from_secs(1), &mut Vec::new());
        let interval = series.window(Window::Seconds(60));
        assert_eq!(interval.latency.count(), 2);
        assert_eq!(interval.latency.sum(), 4 * MS);
        assert_eq!(interval.tallies, [0, 1, 0, 0, 1, 1, 0]);
        assert_eq!(interval.covered, Duration::from_secs(1));
    }
}
