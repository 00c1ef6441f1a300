//! One histogram with its counters and windows: the data of an endpoint or an operation.

pub(crate) mod delta;
mod groups;
pub(crate) mod interval;
mod ledger;
mod ring;
mod sealed;
pub(crate) mod slot;
pub(crate) mod total;
mod unit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::histogram::Histogram;
use crate::histogram::layout::Layout;
use crate::histogram::stripe::TALLIES;
use crate::series::delta::Scratch;
use crate::series::interval::Interval;
use crate::series::ledger::Ledger;
use crate::series::slot::Slot;
use crate::series::total::Total;
use crate::time::window::Window;

#[derive(Debug)]
pub(crate) struct Series {
    histogram: Histogram,
    ledger: Mutex<Ledger>,
}

impl Series {
    pub(crate) fn new(layout: Arc<Layout>, elapsed: Duration) -> Self {
        let ledger = Mutex::new(Ledger::new(&layout, elapsed));
        Self { histogram: Histogram::new(layout), ledger }
    }

    /// Begins at a later time than the one it was made for.
    pub(crate) fn begin(&self, elapsed: Duration) {
        self.ledger().begin(elapsed);
    }

    #[inline]
    pub(crate) fn record(&self, tally: usize, duration: Duration) {
        self.histogram.record_in(tally, duration);
    }

    /// Counts without a latency.
    pub(crate) fn count(&self, tally: usize) {
        self.histogram.count(tally);
    }

    /// Files everything recorded since the last tick.
    pub(crate) fn tick(&self, elapsed: Duration, scratch: &mut Scratch) {
        self.ledger().tick(&self.histogram, elapsed, scratch);
    }

    pub(crate) fn window(&self, window: Window) -> Interval {
        self.ledger().window(window, self.histogram.layout())
    }

    /// Adds the units of a window to as many slots, the running one to the last.
    pub(crate) fn slots(&self, window: Window, slots: &mut [Slot]) {
        self.ledger().slots(window, self.histogram.layout(), slots);
    }

    /// Writes what no tick has read yet into `scratch.delta`. Returns the sum of everything since
    /// the start, this included, in nanoseconds.
    pub(crate) fn peek(&self, scratch: &mut Scratch) -> u128 {
        self.ledger().peek(&self.histogram, scratch)
    }

    /// Everything since the start, what no tick has read yet included.
    pub(crate) fn total(&self) -> Total {
        self.ledger().total(&self.histogram)
    }

    /// The tallies alone of [`total`](Self::total), for much less.
    pub(crate) fn tallies(&self) -> [u64; TALLIES] {
        self.ledger().tallies(&self.histogram)
    }

    /// The memory that it has taken beside itself.
    pub(crate) fn bytes(&self) -> usize {
        self.histogram.bytes() + self.ledger().bytes()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn preset(&self, duration: Duration, count: u32) {
        self.histogram.preset(duration, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tally::{ABORTED, REFUSED};

    const MS: Duration = Duration::from_millis(1);

    fn series() -> Series {
        Series::new(Arc::new(Layout::default()), Duration::ZERO)
    }

    fn count(series: &Series) -> u64 {
        series.total().latency().count
    }

    #[test]
    fn a_wrapping_bucket_loses_nothing() {
        let series = series();
        let scratch = &mut Scratch::default();
        series.preset(MS, u32::MAX - 1);
        series.tick(Duration::from_secs(1), scratch);
        for _ in 0..5 {
            series.record(1, MS);
        }
        assert_eq!(count(&series), u64::from(u32::MAX) + 4);
        series.tick(Duration::from_secs(2), scratch);
        assert_eq!(count(&series), u64::from(u32::MAX) + 4);
        series.tick(Duration::from_secs(70), scratch);
        series.record(1, MS);
        series.tick(Duration::from_secs(71), scratch);
        assert_eq!(series.window(Window::Seconds(1)).latency.count(), 1);
        assert_eq!(count(&series), u64::from(u32::MAX) + 5);
    }

    #[test]
    fn figures_of_a_window_describe_the_same_samples() {
        let series = series();
        series.record(1, MS);
        series.record(4, 3 * MS);
        series.count(ABORTED);
        series.count(REFUSED);
        series.count(REFUSED);
        series.tick(Duration::from_secs(1), &mut Scratch::default());
        let interval = series.window(Window::Seconds(60));
        assert_eq!(interval.latency.count(), 2);
        assert_eq!(interval.latency.sum(), 4 * MS);
        assert_eq!(interval.tallies, [0, 1, 0, 0, 1, 1, 2]);
        assert_eq!(interval.covered, Duration::from_secs(1));
    }
}
