//! Traces of requests, and their admissions.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{Algorithm, Quota, Timestamp};

/// Gap to the previous request in µs, and cost.
pub(crate) type Step = (u64, u64);

/// Steps with gaps of zero, of a segment, of a window and beyond, for a window of `period` µs.
pub(crate) fn steps(period: u64, max_cost: u64) -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![
        3 => Just(0),
        3 => 0..=period.div_ceil(50),
        2 => 0..=period.div_ceil(5),
        1 => period.saturating_sub(2)..=period + 2,
        1 => 0..=3 * period,
    ];
    prop::collection::vec((gap, 0..=max_cost), 1..250)
}

/// A small quota and a trace near its limit. The period is divisible by some numbers of segments
/// only.
pub(crate) fn quota_and_steps() -> impl Strategy<Value = (Quota, u64, Vec<Step>)> {
    let periods = prop_oneof![Just(1_u64), Just(60), Just(1_000), Just(60_000_000), 2_u64..5_000];
    (1_u64..30, periods, 0_u64..1_000_000_000).prop_flat_map(|(limit, period, start)| {
        let quota = Quota::new(limit, Duration::from_micros(period)).unwrap();
        (Just(quota), Just(start), steps(period, (limit + 2).min(4)))
    })
}

/// Runs the trace and returns the times and costs of the admissions.
pub(crate) fn admitted<A: Algorithm>(algorithm: &A, start: u64, steps: &[Step]) -> Vec<(u64, u64)> {
    let mut now = start;
    let mut state = algorithm.initial(Timestamp::from_micros(now));
    let mut admitted = Vec::new();
    for (gap, cost) in steps {
        now += gap;
        let decision = algorithm.check(&mut state, Timestamp::from_micros(now), *cost);
        if decision.is_ok_and(|decision| decision.is_allowed()) {
            admitted.push((now, *cost));
        }
    }
    admitted
}

/// The maximum admitted in any half-open interval of `window` µs. Such an interval begins at a
/// request.
pub(crate) fn most_in_any(window: u64, admitted: &[(u64, u64)]) -> u64 {
    let sum_from =
        |start: u64| admitted.iter().filter(|(at, _)| *at >= start && *at - start < window).map(|(_, n)| n).sum();
    admitted.iter().map(|(start, _)| sum_from(*start)).max().unwrap_or(0)
}
