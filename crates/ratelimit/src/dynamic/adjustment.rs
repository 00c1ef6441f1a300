//! How a quota is lowered and raised: a pure function of (state, now, score).

use std::time::Duration;

use crate::Timestamp;
use crate::timestamp::whole_micros;

/// Multiplies a quota's share by a factor while a service is unhealthy; adds to it while healthy.
///
/// - Scores below 0.5 are **unhealthy**, scores of 0.8 and above are **healthy**. Between them the
///   share does not change. This gap prevents oscillation around a single threshold.
/// - After a service has been unhealthy for 5 s, the share is multiplied by 0.7, and again after
///   each further 5 s, down to the floor of 0.1.
/// - After it has been healthy for 10 s, the share grows by 0.05, and again after each further 10
///   s, up to the ceiling of 1.
/// - A score in the gap restarts both durations. There is therefore at most one step per 5 s. With
///   a constant signal the share changes in one direction only and then stays constant.
///
/// Rising from the floor to the ceiling takes three minutes. Each of these values can be set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjustment {
    ill_below: f64,
    well_from: f64,
    /// Shares and factors are in thousandths, so that steps are exact on every machine.
    factor: u32,
    step: u32,
    floor: u32,
    ceiling: u32,
    lower_after: u64,
    raise_after: u64,
}

/// The share, and the time since which the condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdjustmentState {
    permille: u32,
    condition: Condition,
    /// When the condition began, or when the last step was made during it.
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Ill,
    Between,
    Well,
}

impl AdjustmentState {
    pub(crate) fn permille(&self) -> u32 {
        self.permille
    }
}

impl Default for Adjustment {
    fn default() -> Self {
        Self {
            ill_below: 0.5,
            well_from: 0.8,
            factor: 700,
            step: 50,
            floor: 100,
            ceiling: 1_000,
            lower_after: 5_000_000,
            raise_after: 10_000_000,
        }
    }
}

impl Adjustment {
    /// Sets the thresholds: a score below `ill_below` is unhealthy, and a score of `well_from` or
    /// above is healthy. Each is clamped to between 0 and 1, and `well_from` to at least
    /// `ill_below`. Defaults: 0.5 and 0.8.
    #[must_use]
    pub fn thresholds(mut self, ill_below: f64, well_from: f64) -> Self {
        self.ill_below = clamped(ill_below);
        self.well_from = clamped(well_from).max(self.ill_below);
        self
    }

    /// Sets the factor by which a step down multiplies the share, and the amount that a step up
    /// adds. Both are rounded to thousandths and clamped to between 0.001 and 0.999. Defaults: 0.7
    /// and 0.05.
    #[must_use]
    pub fn steps(mut self, factor: f64, step: f64) -> Self {
        self.factor = permille(factor).clamp(1, 999);
        self.step = permille(step).clamp(1, 999);
        self
    }

    /// Sets the bounds of the share: at least 0.001 and at most 1. Defaults: 0.1 and 1.
    #[must_use]
    pub fn bounds(mut self, floor: f64, ceiling: f64) -> Self {
        self.floor = permille(floor).max(1);
        self.ceiling = permille(ceiling).max(self.floor);
        self
    }

    /// Sets how long a service must be unhealthy before a step down (`lower`) and healthy before a
    /// step up (`raise`). At least one millisecond each. Defaults: 5 s and 10 s.
    #[must_use]
    pub fn after(mut self, lower: Duration, raise: Duration) -> Self {
        self.lower_after = whole_micros(lower).max(1_000);
        self.raise_after = whole_micros(raise).max(1_000);
        self
    }

    pub(crate) fn begin(&self, now: Timestamp) -> AdjustmentState {
        AdjustmentState { permille: self.ceiling, condition: Condition::Between, since: now }
    }

    /// The state with the given share, clamped to the bounds.
    pub(crate) fn at(&self, share: f64, now: Timestamp) -> AdjustmentState {
        AdjustmentState { permille: permille(share).clamp(self.floor, self.ceiling), ..self.begin(now) }
    }

    /// Applies a score and returns whether the share changed. Makes at most one step.
    pub(crate) fn step(&self, state: &mut AdjustmentState, now: Timestamp, score: f64) -> bool {
        let condition = match score {
            score if score.is_nan() => return false,
            score if score < self.ill_below => Condition::Ill,
            score if score >= self.well_from => Condition::Well,
            _ => Condition::Between,
        };
        if condition != state.condition || now < state.since {
            // The condition begins, or the clock was set back and its duration is unknown.
            (state.condition, state.since) = (condition, now);
            return false;
        }
        let lasted = whole_micros(now.saturating_since(state.since));
        let next = match condition {
            Condition::Ill if lasted >= self.lower_after => (state.permille * self.factor / 1_000).max(self.floor),
            Condition::Well if lasted >= self.raise_after => (state.permille + self.step).min(self.ceiling),
            _ => return false,
        };
        state.since = now;
        std::mem::replace(&mut state.permille, next) != next
    }
}

/// NaN counts as 0.
fn clamped(share: f64) -> f64 {
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000")]
fn permille(share: f64) -> u32 {
    (clamped(share) * 1_000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + millis * 1_000)
    }

    proptest! {
        /// With a constant score the share never changes direction, and becomes constant.
        #[test]
        fn a_steady_signal_never_makes_it_oscillate(score in -0.5_f64..1.5, start in 100_u32..=1_000, every in 60_u64..20_000) {
            let adjustment = Adjustment::default();
            let mut state = AdjustmentState { permille: start, ..adjustment.begin(at(0)) };
            let mut shares = vec![start];
            for tick in 0..1_200_000 / every {
                adjustment.step(&mut state, at(tick * every), score);
                shares.push(state.permille());
            }
            prop_assert!(shares.is_sorted() || shares.iter().rev().is_sorted());
            if !(0.5..0.8).contains(&score) {
                prop_assert!([100, 1_000].contains(&state.permille()));
            } else {
                prop_assert_eq!(state.permille(), start);
            }
        }

        /// For any scores, the size and the distance of steps are bounded, and the share is in
        /// bounds.
        #[test]
        fn steps_are_bounded(scores in prop::collection::vec((0_u64..20_000, -0.1_f64..1.1), 1..200)) {
            let adjustment = Adjustment::default().bounds(0.2, 0.9);
            let mut state = adjustment.begin(at(0));
            let (mut time, mut last) = (0, None);
            for (pause, score) in scores {
                time += pause;
                let before = state.permille();
                if adjustment.step(&mut state, at(time), score) {
                    let after = state.permille();
                    prop_assert!((200..=900).contains(&after));
                    prop_assert!(after >= before * 7 / 10 && after <= before + 50);
                    prop_assert!(last.is_none_or(|last| time - last >= 5_000));
                    last = Some(time);
                } else {
                    prop_assert_eq!(before, state.permille());
                }
            }
        }
    }

    #[test]
    fn a_score_that_is_no_number_changes_nothing() {
        let adjustment =
            Adjustment::default().thresholds(f64::NAN, 7.0).bounds(f64::NAN, f64::INFINITY).steps(0.0, 0.0);
        let mut state = adjustment.begin(at(0));
        let before = state;
        assert!(!adjustment.step(&mut state, at(10_000), f64::NAN));
        assert_eq!(state, before);
    }

    #[test]
    fn a_clock_set_back_waits_anew() {
        let adjustment = Adjustment::default();
        let mut state = adjustment.begin(at(0));
        assert!(!adjustment.step(&mut state, at(100_000), 0.0));
        assert!(!adjustment.step(&mut state, at(0), 0.0));
        assert!(!adjustment.step(&mut state, at(4_999), 0.0));
        assert!(adjustment.step(&mut state, at(5_000), 0.0));
    }
}
