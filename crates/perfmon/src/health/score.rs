//! Numbers made into a score and a state: pure functions.

use crate::health::report::Health;

/// The score of a component at its threshold.
pub(crate) const AT_THRESHOLD: f64 = 70.0;

/// Returns 100 up to half of the threshold, 70 at the threshold and 0 from twice the threshold,
/// with straight lines between. `None` if the ratio cannot be formed.
pub(crate) fn component(observed: f64, threshold: f64) -> Option<f64> {
    if !(observed.is_finite() && observed >= 0.0 && threshold.is_finite() && threshold > 0.0) {
        return None;
    }
    let ratio = observed / threshold;
    Some(if ratio <= 0.5 {
        100.0
    } else if ratio <= 1.0 {
        100.0 - 60.0 * (ratio - 0.5)
    } else {
        (AT_THRESHOLD * (2.0 - ratio)).max(0.0)
    })
}

/// A component's part in the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) score: f64,
    pub(crate) weight: f64,
    pub(crate) critical: bool,
}

/// The lower of the weighted mean and the worst critical score plus 10; `None` of nothing.
pub(crate) fn overall(parts: &[Part]) -> Option<u8> {
    let weight: f64 = parts.iter().map(|part| part.weight).sum();
    if parts.is_empty() {
        return None;
    }
    let mean = parts.iter().map(|part| part.score * part.weight).sum::<f64>() / weight;
    let worst = parts.iter().filter(|part| part.critical).map(|part| part.score).fold(f64::INFINITY, f64::min);
    Some(whole(mean.min(worst + 10.0)))
}

/// Rounds down, so that the shown score is never on the better side of a limit that the exact score
/// misses.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
pub(crate) fn whole(score: f64) -> u8 {
    (score.clamp(0.0, 100.0) + 1e-9).floor() as u8
}

/// Further inputs of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// Some component exceeds its threshold.
    pub(crate) breached: bool,
    /// Whether some component exceeded its threshold and is not clear of it yet. It makes no state
    /// worse; it only keeps the state from being better than degraded.
    pub(crate) latched: bool,
    /// Some critical component is unknown.
    pub(crate) critical_unknown: bool,
}

/// Returns healthy from 80, unhealthy below 50. A breach is at least degraded. With an unknown
/// critical component the state is never healthy.
pub(crate) fn state(score: Option<u8>, flags: Flags) -> Health {
    match score {
        None => Health::Unknown,
        Some(..50) => Health::Unhealthy,
        Some(_) if flags.breached => Health::Degraded,
        Some(50..80) => Health::Degraded,
        Some(_) if flags.critical_unknown => Health::Unknown,
        Some(_) => Health::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(score: f64, weight: f64, critical: bool) -> Part {
        Part { score, weight, critical }
    }

    #[test]
    fn components_at_the_corners() {
        let at = |observed| component(observed, 5.0);
        assert_eq!(at(0.0), Some(100.0));
        assert_eq!(at(2.5), Some(100.0));
        assert_eq!(at(3.75), Some(85.0));
        assert_eq!(at(5.0), Some(70.0));
        assert_eq!(at(7.5), Some(35.0));
        assert_eq!(at(10.0), Some(0.0));
        assert_eq!(at(f64::MAX), Some(0.0));
    }

    #[test]
    fn invalid_measurements_give_no_component() {
        for (observed, threshold) in [
            (f64::NAN, 1.0),
            (f64::INFINITY, 1.0),
            (-1.0, 1.0),
            (1.0, 0.0),
            (1.0, -1.0),
            (1.0, f64::NAN),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(component(observed, threshold), None, "{observed} of {threshold}");
        }
    }

    #[test]
    fn the_worst_critical_pulls_down() {
        assert_eq!(overall(&[part(100.0, 9.0, false), part(0.0, 1.0, false)]), Some(90));
        assert_eq!(overall(&[part(100.0, 9.0, false), part(0.0, 1.0, true)]), Some(10));
        assert_eq!(overall(&[part(100.0, 1.0, true)]), Some(100));
        assert_eq!(overall(&[]), None);
    }

    #[test]
    fn states_at_the_limits() {
        let none = Flags::default();
        let breached = Flags { breached: true, ..none };
        let critical_unknown = Flags { critical_unknown: true, ..none };
        assert_eq!(state(Some(80), none), Health::Healthy);
        assert_eq!(state(Some(79), none), Health::Degraded);
        assert_eq!(state(Some(50), none), Health::Degraded);
        assert_eq!(state(Some(49), none), Health::Unhealthy);
        assert_eq!(state(Some(100), breached), Health::Degraded);
        assert_eq!(state(Some(49), breached), Health::Unhealthy);
        assert_eq!(state(Some(100), critical_unknown), Health::Unknown);
        assert_eq!(state(Some(60), critical_unknown), Health::Degraded);
        assert_eq!(state(None, breached), Health::Unknown);
    }

    proptest! {
        #[test]
        fn any_input_gives_a_score_or_none(observed in any::<f64>(), threshold in any::<f64>(), weight in 1e-300..1e6) {
            if let Some(score) = component(observed, threshold) {
                prop_assert!((0.0..=100.0).contains(&score));
                prop_assert!(overall(&[part(score, weight, true)]).is_some_and(|whole| whole <= 100));
                prop_assert_eq!(observed > threshold, score < 70.0 || observed / threshold == 1.0 && observed > threshold);
            }
        }
    }
}
