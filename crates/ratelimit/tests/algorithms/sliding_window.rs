//! The conservative sliding window.

use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, Quota, SlidingWindow, Timestamp};

use crate::trace::{admitted, most_in_any, quota_and_steps};

fn segments() -> impl Strategy<Value = NonZeroU16> {
    (1_u16..90).prop_map(|n| NonZeroU16::new(n).unwrap())
}

/// The literal definition: every single charge, with the segment that contains it.
struct Model {
    limit: u64,
    period: u64,
    segment: u64,
    charges: Vec<(usize, u64)>,
    /// Start and last charge of each segment.
    segments: Vec<(u64, u64)>,
}

impl Model {
    fn used(&self, now: u64) -> u64 {
        let counts = |(segment, _): &&(usize, u64)| now - self.segments[*segment].1 < self.period;
        self.charges.iter().filter(counts).map(|(_, cost)| cost).sum()
    }

    fn check(&mut self, now: u64, cost: u64) -> bool {
        let used = self.used(now);
        if used + cost > self.limit {
            return false;
        }
        if cost > 0 {
            match self.segments.last_mut() {
                Some((begun, last)) if used > 0 && now - *begun < self.segment => *last = now,
                _ => self.segments.push((now, now)),
            }
            self.charges.push((self.segments.len() - 1, cost));
        }
        true
    }
}

proptest! {
    #[test]
    fn never_more_than_the_limit_in_any_window((quota, start, steps) in quota_and_steps(), segments in segments()) {
        let admitted = admitted(&SlidingWindow::with_segments(quota, segments), start, &steps);
        prop_assert!(most_in_any(quota.period_micros(), &admitted) <= quota.limit());
    }

    /// The other direction of the bound: a cost that fits the window plus one segment is admitted.
    #[test]
    fn never_waits_longer_than_one_segment((quota, start, steps) in quota_and_steps(), segments in segments()) {
        let algorithm = SlidingWindow::with_segments(quota, segments);
        let longer = quota.period_micros() + quota.period_micros().div_ceil(u64::from(segments.get()));
        let (mut now, mut log) = (start, Vec::<(u64, u64)>::new());
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= quota.limit()) {
            now += gap;
            let recent: u64 = log.iter().filter(|(at, _)| now - at < longer).map(|(_, cost)| cost).sum();
            let allowed = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?.is_allowed();
            prop_assert!(allowed || recent + cost > quota.limit(), "{recent} of {quota} used at {now}, cost {cost}");
            if allowed {
                log.push((now, cost));
            }
        }
    }

    #[test]
    fn decides_as_its_definition((quota, start, steps) in quota_and_steps(), segments in segments()) {
        let algorithm = SlidingWindow::with_segments(quota, segments);
        let (limit, period) = (quota.limit(), quota.period_micros());
        let segment = period.div_ceil(u64::from(segments.get()));
        let mut model = Model { limit, period, segment, charges: Vec::new(), segments: Vec::new() };
        let mut now = start;
        let mut state = algorithm.initial(Timestamp::from_micros(start));
        for (gap, cost) in steps.into_iter().filter(|(_, cost)| *cost <= limit) {
            now += gap;
            let decision = algorithm.check(&mut state, Timestamp::from_micros(now), cost)?;
            prop_assert_eq!(decision.is_allowed(), model.check(now, cost));
            prop_assert_eq!(decision.remaining(), limit - model.used(now));
        }
    }

    /// If requests are further apart than a segment, the window equals the exact log.
    #[test]
    fn sparse_requests_are_counted_exactly(gaps in prop::collection::vec(1_001_u64..20_000, 1..200), limit in 1_u64..20) {
        let algorithm = SlidingWindow::new(Quota::new(limit, Duration::from_millis(60))?);
        let (mut now, mut log) = (0, Vec::<u64>::new());
        let mut state = algorithm.initial(Timestamp::MIN);
        for gap in gaps {
            now += gap;
            let fits = log.iter().filter(|at| now - **at < 60_000).count() < usize::try_from(limit).unwrap();
            prop_assert_eq!(algorithm.check(&mut state, Timestamp::from_micros(now), 1)?.is_allowed(), fits);
            if fits {
                log.push(now);
            }
        }
    }
}

#[test]
fn a_burst_counts_for_exactly_one_period() {
    let algorithm = SlidingWindow::new(Quota::per_minute(60).unwrap());
    let start = 1_234_567_891;
    let mut state = algorithm.initial(Timestamp::from_micros(start));
    for round in 0..5 {
        let now = Timestamp::from_micros(start + round * 60_000_000);
        for request in 1..=60 {
            assert!(algorithm.check(&mut state, now, 1).unwrap().is_allowed(), "round {round}, request {request}");
        }
        let refused = algorithm.check(&mut state, Timestamp::from_micros(now.as_micros() + 59_999_999), 1).unwrap();
        assert_eq!(refused.retry_after(), Some(Duration::from_micros(1)));
    }
}

#[test]
fn the_boundary_of_a_minute_gives_nothing_away() {
    let algorithm = SlidingWindow::new(Quota::per_minute(100).unwrap());
    let mut state = algorithm.initial(Timestamp::MIN);
    let before = Timestamp::from_micros(59_900_000);
    let after = Timestamp::from_micros(60_100_000);
    let mut count = |now| (0..100).filter(|_| algorithm.check(&mut state, now, 1).unwrap().is_allowed()).count();
    assert_eq!((count(before), count(after)), (100, 0));
}
