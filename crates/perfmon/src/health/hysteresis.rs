//! Keeps a state from flapping.

use crate::health::report::Health;
use crate::health::score::{Flags, state};

/// Evaluations in a row before a worse state is believed.
pub(crate) const WORSE_AFTER: u8 = 2;
/// Evaluations in a row before a better state is believed.
pub(crate) const BETTER_AFTER: u8 = 3;
/// Points by which a better state's limit must be exceeded.
pub(crate) const MARGIN: u8 = 10;
/// Below this score a worse state is believed at once.
const AT_ONCE_BELOW: u8 = 20;

/// The reported state and the evaluations that speak against it.
#[derive(Debug, Default)]
pub(crate) struct Hysteresis {
    current: Option<Health>,
    worse: Streak,
    better: Streak,
}

/// Evaluations in a row that say worse (or better), and the least change that all of them bear out.
#[derive(Debug, Default)]
struct Streak {
    length: u8,
    pending: Option<Health>,
}

impl Streak {
    fn push(&mut self, seen: Health, least: fn(Health, Health) -> Health) -> (u8, Health) {
        self.length = self.length.saturating_add(1);
        let pending = self.pending.map_or(seen, |pending| least(pending, seen));
        self.pending = Some(pending);
        (self.length, pending)
    }
}

impl Hysteresis {
    /// Takes in one evaluation and returns the state to report. The first evaluation is reported at
    /// once. So is a breach, as degraded.
    pub(crate) fn observe(&mut self, score: Option<u8>, flags: Flags) -> Health {
        let seen = state(score, flags);
        let Some(current) = self.current else {
            return self.change_to(seen);
        };
        if severity(seen) > severity(current) {
            self.better = Streak::default();
            let (length, pending) = self.worse.push(seen, milder);
            let mut believed = match score {
                Some(..AT_ONCE_BELOW) => seen,
                _ if length >= WORSE_AFTER => pending,
                _ => current,
            };
            if flags.breached {
                believed = graver(believed, Health::Degraded);
            }
            if believed != current {
                self.change_to(believed);
                if severity(seen) > severity(believed) {
                    // This evaluation already speaks for the next step down.
                    self.worse.push(seen, milder);
                }
            }
            return believed;
        }
        self.worse = Streak::default();
        // Unknown has no limit of its own that a score could hover at.
        let margin = if current == Health::Unknown { 0 } else { MARGIN };
        let flags = Flags { breached: flags.breached || flags.latched, ..flags };
        let borne_out = state(score.map(|score| score.saturating_sub(margin)), flags);
        if severity(borne_out) < severity(current) {
            let (length, pending) = self.better.push(borne_out, graver);
            if length >= BETTER_AFTER {
                return self.change_to(pending);
            }
        } else {
            self.better = Streak::default();
        }
        current
    }

    fn change_to(&mut self, state: Health) -> Health {
        *self = Self { current: Some(state), ..Self::default() };
        state
    }
}

fn severity(state: Health) -> u8 {
    match state {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::Unhealthy => 3,
    }
}

fn milder(a: Health, b: Health) -> Health {
    if severity(a) <= severity(b) { a } else { b }
}

fn graver(a: Health, b: Health) -> Health {
    if severity(a) >= severity(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::Health::{Degraded, Healthy, Unhealthy, Unknown};
    use super::*;
    use proptest::prelude::*;

    fn run(scores: &[u8]) -> Vec<Health> {
        let mut hysteresis = Hysteresis::default();
        scores.iter().map(|&score| hysteresis.observe(Some(score), Flags::default())).collect()
    }

    #[test]
    fn worse_after_two_better_after_three_and_ten_points() {
        assert_eq!(run(&[100, 70, 100, 70, 70]), [Healthy, Healthy, Healthy, Healthy, Degraded]);
        assert_eq!(run(&[70, 90, 90, 90]), [Degraded, Degraded, Degraded, Healthy]);
        assert_eq!(run(&[70, 90, 89, 90, 90]), [Degraded; 5]);
        assert_eq!(run(&[40, 60, 60, 60]), [Unhealthy, Unhealthy, Unhealthy, Degraded]);
        assert_eq!(run(&[40, 59, 59, 59, 59]), [Unhealthy; 5]);
    }

    #[test]
    fn below_twenty_at_once() {
        assert_eq!(run(&[100, 20]), [Healthy, Healthy]);
        assert_eq!(run(&[100, 19]), [Healthy, Unhealthy]);
        assert_eq!(run(&[70, 19]), [Degraded, Unhealthy]);
    }

    #[test]
    fn the_least_change_that_all_bear_out() {
        assert_eq!(run(&[100, 40, 70]), [Healthy, Healthy, Degraded]);
        assert_eq!(run(&[100, 70, 40, 40]), [Healthy, Healthy, Degraded, Unhealthy]);
        assert_eq!(run(&[30, 100, 65, 100]), [Unhealthy, Unhealthy, Unhealthy, Degraded]);
        assert_eq!(run(&[30, 100, 100, 100]), [Unhealthy, Unhealthy, Unhealthy, Healthy]);
    }

    #[test]
    fn a_breach_is_degraded_at_once_and_unhealthy_after_two() {
        let breached = Flags { breached: true, ..Flags::default() };
        let mut hysteresis = Hysteresis::default();
        assert_eq!(hysteresis.observe(Some(100), Flags::default()), Healthy);
        assert_eq!(hysteresis.observe(Some(30), breached), Degraded);
        assert_eq!(hysteresis.observe(Some(30), breached), Unhealthy);
    }

    #[test]
    fn a_breach_after_silence_is_degraded() {
        let breached = Flags { breached: true, ..Flags::default() };
        let mut hysteresis = Hysteresis::default();
        hysteresis.observe(Some(100), Flags::default());
        assert_eq!(hysteresis.observe(None, Flags::default()), Healthy);
        assert_eq!(hysteresis.observe(Some(70), breached), Degraded);
        assert_eq!(hysteresis.observe(Some(30), breached), Degraded);
        assert_eq!(hysteresis.observe(Some(30), breached), Unhealthy);
    }

    #[test]
    fn one_silent_evaluation_is_not_unknown_and_one_loud_one_is_not_healthy() {
        let mut hysteresis = Hysteresis::default();
        let mut observe = |score| hysteresis.observe(score, Flags::default());
        assert_eq!(observe(Some(100)), Healthy);
        for _ in 0..5 {
            assert_eq!(observe(None), Healthy);
            assert_eq!(observe(Some(85)), Healthy);
        }
        assert_eq!(observe(None), Healthy);
        assert_eq!(observe(None), Unknown);
        for _ in 0..5 {
            assert_eq!(observe(Some(85)), Unknown);
            assert_eq!(observe(Some(85)), Unknown);
            assert_eq!(observe(None), Unknown);
        }
        assert_eq!([observe(Some(85)), observe(Some(85)), observe(Some(85))], [Unknown, Unknown, Healthy]);
    }

    proptest! {
        #[test]
        fn noise_around_a_limit_changes_the_state_once_at_most(
            limit in prop::sample::select(vec![50u8, 80]),
            noise in prop::collection::vec(0u8..10, 1..200),
        ) {
            let scores: Vec<u8> = noise.iter().map(|noise| limit - 5 + noise).collect();
            let states = run(&scores);
            let changes = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
            prop_assert!(changes <= 1, "{scores:?} {states:?}");
        }

        #[test]
        fn alternating_breaches_settle(pattern in prop::collection::vec(any::<bool>(), 3..200)) {
            let mut hysteresis = Hysteresis::default();
            let mut recovered = 0;
            let mut calm = 0;
            let mut last = Healthy;
            for breached in pattern {
                calm = if breached { 0 } else { calm + 1 };
                let now = hysteresis.observe(Some(100), Flags { breached, ..Flags::default() });
                prop_assert!(!breached || now == Degraded, "a breach is at least degraded");
                if last == Degraded && now == Healthy {
                    recovered += 1;
                    prop_assert!(calm >= BETTER_AFTER);
                }
                last = now;
            }
            prop_assert!(recovered <= 200 / 4);
        }
    }
}
