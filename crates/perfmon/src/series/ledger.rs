//! What ticks have read of a series. Recorders never touch it.

use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::histogram::layout::{EXPOSED, Layout};
use crate::histogram::stripe::TALLIES;
use crate::outcome::tally::ABORTED;
use crate::series::delta::{Delta, Scratch};
use crate::series::groups::Groups;
use crate::series::interval::Interval;
use crate::series::ring::Ring;
use crate::series::slot::Slot;
use crate::series::total::Total;
use crate::time::window::Window;

#[derive(Debug)]
pub(crate) struct Ledger {
    elapsed: Duration,
    /// The live counters at the last reading.
    read: Box<[u32]>,
    /// The groups of buckets that have been used lately.
    lately: Groups,
    /// Samples filed whose tallies were not (modulo 2⁶⁴): their recorders were between the two.
    ahead: u64,
    total: Total,
    seconds: Ring,
    minutes: Ring,
    hours: Ring,
}

impl Ledger {
    pub(crate) fn new(layout: &Layout, elapsed: Duration) -> Self {
        Self {
            elapsed,
            read: vec![0; layout.buckets()].into(),
            lately: Groups::new(layout.buckets()),
            ahead: 0,
            total: Total::default(),
            seconds: Ring::new(1, 60),
            minutes: Ring::new(60, 60),
            hours: Ring::new(3600, 24),
        }
    }

    /// Writes what was recorded since the last reading into `scratch.delta`, and the live counters
    /// that it was found by into `scratch.live`. An unused series costs a few loads: its buckets
    /// are not read.
    ///
    /// Latencies repeat near their recent values, so those buckets are read first. The tallies say
    /// how many samples there must be. If they are not all found, all buckets are read.
    fn unread(&self, histogram: &Histogram, scratch: &mut Scratch) {
        let Scratch { live, delta } = scratch;
        delta.clear();
        // The tallies come first. They are counted last, so the buckets already have their samples.
        // A bucket may have more; those are found when their tallies are.
        delta.tallies = self.unread_tallies(histogram);
        if delta.tallies == [0; TALLIES] {
            return;
        }
        live.resize(self.read.len(), 0);
        self.look(histogram, self.lately.ranges(), live, delta);
        if self.ahead_after(delta) != 0 {
            delta.buckets.clear();
            self.look(histogram, iter::once(0..self.read.len()), live, delta);
        }
        delta.ranges = self.unread_ranges(histogram);
        delta.sum_nanos = self.unread_sum(histogram);
    }

    fn look(
        &self,
        histogram: &Histogram,
        ranges: impl Iterator<Item = Range<usize>>,
        live: &mut [u32],
        delta: &mut Delta,
    ) {
        for range in ranges {
            let (live, read) = (&mut live[range.clone()], &self.read[range.clone()]);
            histogram.read(range.start, live);
            for (bucket, (&live, &read)) in range.zip(live.iter().zip(read)) {
                if live != read {
                    let bucket = u32::try_from(bucket).expect("a layout has fewer buckets");
                    delta.buckets.push((bucket, live.wrapping_sub(read)));
                }
            }
        }
    }

    /// Returns how many more samples than tallies will have been filed. Once all recorders are
    /// done, it is zero exactly if no sample was missed.
    fn ahead_after(&self, delta: &Delta) -> u64 {
        let samples = delta.buckets.iter().map(|&(_, count)| u64::from(count)).sum();
        let tallies: u64 = delta.tallies[..ABORTED].iter().sum();
        self.ahead.wrapping_add(samples).wrapping_sub(tallies)
    }

    #[expect(clippy::cast_possible_truncation, reason = "differences are taken modulo the width of the live counters")]
    fn unread_tallies(&self, histogram: &Histogram) -> [u64; TALLIES] {
        let mut unread = [0; TALLIES];
        let live = histogram.tallies();
        for (new, (live, read)) in unread.iter_mut().zip(live.into_iter().zip(self.total.tallies)) {
            *new = u64::from(live.wrapping_sub(read as u32));
        }
        unread
    }

    /// The tallies since the start, what no tick has read yet included. Looks at no bucket.
    pub(crate) fn tallies(&self, histogram: &Histogram) -> [u64; TALLIES] {
        let mut tallies = self.unread_tallies(histogram);
        for (total, read) in tallies.iter_mut().zip(self.total.tallies) {
            *total += read;
        }
        tallies
    }

    /// Begins at a later time than it was created for. Samples from before belong to the first
    /// tick.
    pub(crate) fn begin(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Files everything recorded since the last tick.
    pub(crate) fn tick(&mut self, histogram: &Histogram, elapsed: Duration, scratch: &mut Scratch) {
        self.unread(histogram, scratch);
        let delta = &mut scratch.delta;
        delta.span = elapsed.saturating_sub(self.elapsed);
        self.elapsed = self.elapsed.max(elapsed);
        for &(bucket, count) in &delta.buckets {
            let read = &mut self.read[bucket as usize];
            *read = read.wrapping_add(count);
        }
        self.ahead = self.ahead_after(delta);
        self.lately.note(delta);
        let delta = &scratch.delta;
        self.total.count(&delta.ranges, delta.sum_nanos, &delta.tallies);
        for ring in [&mut self.seconds, &mut self.minutes, &mut self.hours] {
            ring.add(self.elapsed, delta);
        }
    }

    /// Writes what no tick has read yet into `scratch.delta`. Returns the sum of everything since
    /// the start, this included.
    pub(crate) fn peek(&self, histogram: &Histogram, scratch: &mut Scratch) -> u128 {
        self.unread(histogram, scratch);
        self.total.sum_nanos + u128::from(scratch.delta.sum_nanos)
    }

    /// Everything since the start, what no tick has read yet included. Looks at no bucket.
    pub(crate) fn total(&self, histogram: &Histogram) -> Total {
        let tallies = self.unread_tallies(histogram);
        let mut total = self.total.clone();
        if tallies == [0; TALLIES] {
            return total;
        }
        total.count(&self.unread_ranges(histogram), self.unread_sum(histogram), &tallies);
        total
    }

    /// Samples between the exposed bounds that no tick has read.
    ///
    /// They have counters of their own and are never derived from buckets. So none of them ever
    /// decreases, even while a thread is recording.
    #[expect(clippy::cast_possible_truncation, reason = "differences are taken modulo the width of the live counters")]
    fn unread_ranges(&self, histogram: &Histogram) -> [u32; EXPOSED + 1] {
        let mut unread = histogram.ranges();
        for (live, read) in unread.iter_mut().zip(self.total.ranges) {
            *live = live.wrapping_sub(read as u32);
        }
        unread
    }

    #[expect(clippy::cast_possible_truncation, reason = "differences are taken modulo the width of the live counters")]
    fn unread_sum(&self, histogram: &Histogram) -> u64 {
        histogram.sum_nanos().wrapping_sub(self.total.sum_nanos as u64)
    }

    pub(crate) fn window(&self, window: Window, layout: &Arc<Layout>) -> Interval {
        let mut interval = Interval::empty(Arc::clone(layout));
        self.ring(window).add_to(self.elapsed, window.units(), &mut interval);
        interval
    }

    pub(crate) fn slots(&self, window: Window, layout: &Layout, slots: &mut [Slot]) {
        self.ring(window).add_to_slots(self.elapsed, layout, slots);
    }

    fn ring(&self, window: Window) -> &Ring {
        match window {
            Window::Seconds(_) => &self.seconds,
            Window::Minutes(_) => &self.minutes,
            Window::Hours(_) => &self.hours,
        }
    }

    /// The memory that it has taken beside itself.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.read) + self.seconds.bytes() + self.minutes.bytes() + self.hours.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn unused_groups_are_not_scanned() {
        let histogram = Histogram::default();
        let mut ledger = Ledger::new(histogram.layout(), Duration::ZERO);
        let scratch = &mut Scratch::default();
        histogram.record(MS); // without a tally, which no recorder of a series does
        ledger.tick(&histogram, Duration::from_secs(1), scratch);
        assert_eq!(ledger.total(&histogram).latency().count, 0);
        histogram.record_in(1, MS);
        assert_eq!(ledger.total(&histogram).latency().count, 2);
    }

    #[test]
    fn samples_in_an_unused_group_are_found() {
        let histogram = Histogram::default();
        let mut ledger = Ledger::new(histogram.layout(), Duration::ZERO);
        let scratch = &mut Scratch::default();
        let mut expected = 0;
        for second in 1..=400u64 {
            // Mostly around a millisecond, now and then anywhere.
            histogram.record_in(1, MS);
            histogram.record_in(4, MS * u32::try_from(second * second).unwrap());
            if second % 3 == 0 {
                histogram.record_in(1, Duration::from_secs(second));
                expected += 1;
            }
            expected += 2;
            assert_eq!(ledger.total(&histogram).latency().count, expected);
            let exact: Vec<u64> = histogram.snapshot().cumulative().map(|(_, samples)| samples).collect();
            let told = ledger.total(&histogram).latency().buckets;
            assert!(told.iter().map(|&(_, samples)| samples).eq(exact), "{told:?}");
            ledger.tick(&histogram, Duration::from_secs(second), scratch);
            assert_eq!(ledger.total(&histogram).latency().count, expected);
        }
        assert_eq!(ledger.window(Window::Hours(24), histogram.layout()).latency.count(), expected);
    }

    /// A recorder is between its bucket and its tally, and hides that another sample was missed. It
    /// hides it only until its tally is counted.
    #[test]
    fn a_sample_that_stands_in_for_another_hides_it_for_a_moment_only() {
        let histogram = Histogram::default();
        let mut ledger = Ledger::new(histogram.layout(), Duration::ZERO);
        let scratch = &mut Scratch::default();
        histogram.record_in(1, MS);
        ledger.tick(&histogram, Duration::from_secs(1), scratch);
        histogram.record(MS); // its tally comes later
        histogram.record_in(1, MS * 1_000);
        ledger.tick(&histogram, Duration::from_secs(2), scratch);
        histogram.count(1);
        ledger.tick(&histogram, Duration::from_secs(3), scratch);
        assert_eq!(ledger.total(&histogram).latency().count, 3);
        assert_eq!(ledger.window(Window::Seconds(60), histogram.layout()).latency.over(MS * 500), 1);
    }

    /// A recorder between its bucket and its tally, when the tick comes.
    #[test]
    fn a_sample_without_its_tally_yet_is_found_with_it() {
        let histogram = Histogram::default();
        let mut ledger = Ledger::new(histogram.layout(), Duration::ZERO);
        let scratch = &mut Scratch::default();
        histogram.record(MS);
        ledger.tick(&histogram, Duration::from_secs(1), scratch);
        histogram.count(1);
        ledger.tick(&histogram, Duration::from_secs(2), scratch);
        let total = ledger.total(&histogram);
        assert_eq!((total.latency().count, total.tallies[1]), (1, 1));
        let interval = ledger.window(Window::Seconds(60), histogram.layout());
        assert_eq!((interval.latency.count(), interval.latency.sum()), (1, MS));
    }
}
