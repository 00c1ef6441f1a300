//! Calls and failures of the last moments.

use std::time::Duration;

use tokio::time::Instant;

/// Parts of a window: the step in which it moves.
pub(super) const PARTS: u64 = 10;

/// Counts of a sliding window in ten parts, of which the newest is not over.
#[derive(Clone, Debug)]
pub(super) struct Window {
    origin: Instant,
    part: Duration,
    /// Number of the newest part since the origin.
    newest: u64,
    counts: [Counts; 10],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Window {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        Self { origin: now, part: part_of(window), newest: 0, counts: [Counts::default(); 10] }
    }

    /// Adds one call.
    pub(super) fn record(&mut self, failed: bool, now: Instant) {
        self.advance(now);
        let counts = &mut self.counts[index(self.newest)];
        counts.calls = counts.calls.saturating_add(1);
        counts.failures = counts.failures.saturating_add(u32::from(failed));
    }

    /// Returns what the window holds since its last record.
    pub(super) fn total(&self) -> Counts {
        self.counts.iter().fold(Counts::default(), |sum, part| Counts {
            calls: sum.calls.saturating_add(part.calls),
            failures: sum.failures.saturating_add(part.failures),
        })
    }

    /// Drops the parts that are too old. A thread that was overtaken counts in the newest part.
    fn advance(&mut self, now: Instant) {
        let number = part_number(now.saturating_duration_since(self.origin), self.part);
        let new_parts = number.saturating_sub(self.newest).min(PARTS);
        for part in 0..new_parts {
            self.counts[index(number - part)] = Counts::default();
        }
        self.newest = self.newest.max(number);
    }
}

fn part_of(window: Duration) -> Duration {
    (window / 10).max(Duration::from_nanos(1))
}

fn part_number(since: Duration, part: Duration) -> u64 {
    u64::try_from(since.as_nanos() / part.as_nanos()).unwrap_or(u64::MAX)
}

fn index(number: u64) -> usize {
    usize::try_from(number % PARTS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_window_holds_exactly_the_calls_of_its_ten_newest_parts(
            window_ms in 1u64..5_000,
            calls in prop::collection::vec((0u64..3_000_000, any::<bool>()), 1..60),
        ) {
            let start = Instant::now();
            let part_nanos = u128::from(window_ms) * 1_000_000 / 10;
            let mut window = Window::new(Duration::from_millis(window_ms), start);
            let mut passed = Duration::ZERO;
            let mut log = Vec::new();
            for (pause_micros, failed) in calls {
                passed += Duration::from_micros(pause_micros);
                window.record(failed, start + passed);
                let now = passed.as_nanos() / part_nanos;
                log.push((now, failed));
                let live = || log.iter().filter(|(part, _)| now - part < 10);
                let total = window.total();
                prop_assert_eq!(usize::try_from(total.calls).unwrap(), live().count());
                prop_assert_eq!(usize::try_from(total.failures).unwrap(), live().filter(|(_, failed)| *failed).count());
            }
        }

        #[test]
        fn a_call_counts_for_nine_tenths_of_the_window_at_least_and_never_longer_than_it(
            window_ms in 1u64..5_000, offset_micros in 0u64..10_000_000, pause_micros in 0u64..10_000_000,
        ) {
            let length = Duration::from_millis(window_ms);
            let (start, pause) = (Instant::now(), Duration::from_micros(pause_micros));
            let first = start + Duration::from_micros(offset_micros);
            let mut window = Window::new(length, start);
            window.record(true, first);
            window.record(false, first + pause);
            let still_counts = window.total().failures == 1;
            prop_assert!(still_counts || pause > length / 10 * 9);
            prop_assert!(!still_counts || pause < length);
        }
    }

    #[test]
    fn a_thread_that_was_overtaken_counts_in_the_newest_part() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(10), start);
        window.record(true, start + Duration::from_secs(100));
        window.record(true, start + Duration::from_secs(1));
        window.record(false, start + Duration::from_secs(100));
        assert_eq!(window.total(), Counts { calls: 3, failures: 2 });
    }

    #[test]
    fn the_shortest_and_the_longest_window_work() {
        let start = Instant::now();
        for length in [Duration::from_nanos(1), Duration::MAX] {
            let mut window = Window::new(length, start);
            window.record(true, start);
            window.record(true, start + Duration::from_secs(1 << 30));
            assert_eq!(window.total().calls, if length == Duration::MAX { 2 } else { 1 });
        }
    }
}
