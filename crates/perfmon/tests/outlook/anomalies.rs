//! Anomalies are reported, and steady noise is not.

use proptest::prelude::*;
use tidegate_perfmon::outlook::{Anomaly, Detector, Side};
use tidegate_testkit::{Random, scale};

const DAY: usize = 1440;

/// Noise around a level that stays.
#[derive(Debug, Clone, Copy)]
enum Noise {
    Normal,
    /// The logarithm is normal, with a deviation of 1: one in a hundred is ten times the median.
    LogNormal,
    /// Five a minute.
    Poisson,
    /// Half of it is that of the minute before.
    Alike,
}

impl Noise {
    const ALL: [Self; 4] = [Self::Normal, Self::LogNormal, Self::Poisson, Self::Alike];

    fn series(self, seed: u64) -> impl FnMut() -> f64 {
        let mut random = Random::new(seed);
        let mut last = 0.0;
        move || match self {
            Self::Normal => 100.0 + 10.0 * random.normal(),
            Self::LogNormal => 100.0 * random.normal().exp(),
            Self::Poisson => random.poisson(5.0) as f64,
            Self::Alike => {
                last = 0.5 * last + 0.75_f64.sqrt() * random.normal();
                100.0 + 10.0 * last
            }
        }
    }

    /// The value six deviations higher, as this noise deviates.
    fn raised(self, value: f64) -> f64 {
        match self {
            Self::Normal | Self::Alike => value + 60.0,
            Self::LogNormal => value * 6.0_f64.exp(),
            Self::Poisson => value + 6.0 * 5.0_f64.sqrt(),
        }
    }
}

/// A detector that has seen a steady day: 95 to 105, evenly.
fn after_a_day() -> Detector {
    let mut detector = Detector::new(0.0);
    for minute in 0..DAY {
        assert_eq!(detector.observe(even(minute)), None);
    }
    detector
}

fn even(minute: usize) -> f64 {
    95.0 + (minute * 7 % 11) as f64
}

fn observe_all(detector: &mut Detector, values: impl IntoIterator<Item = f64>) -> Vec<Anomaly> {
    values.into_iter().filter_map(|value| detector.observe(value)).collect()
}

/// A thousand days of different noise, each observed by a new detector.
#[test]
fn a_thousand_series_days_of_steady_noise_flag_at_most_one() {
    let days = scale(20, 1000) as u64;
    for noise in Noise::ALL {
        let mut flagged = Vec::new();
        for seed in 0..days {
            let (mut detector, mut next) = (Detector::new(0.0), noise.series(seed));
            flagged.extend((0..DAY).filter_map(|_| detector.observe(next())).map(|anomaly| (seed, anomaly)));
        }
        println!("{noise:?}: {} anomalies in {days} days", flagged.len());
        assert!(flagged.len() <= 1, "{noise:?}: {flagged:?}");
    }
}

/// It stays out for longer once it is out. Without a larger limit for it these days had ten.
#[test]
fn autocorrelated_values_get_a_wider_band() {
    let mut found = 0;
    for seed in 0..20 {
        let (mut random, mut last, mut detector) = (Random::new(seed), 0.0, Detector::new(0.0));
        for _ in 0..DAY {
            last = 0.95 * last + (1.0_f64 - 0.95 * 0.95).sqrt() * random.normal();
            found += usize::from(detector.observe(100.0 + 10.0 * last).is_some());
        }
    }
    assert!(found <= 1, "{found}");
}

/// Noise lowers some of the first three values below the limit, so not every step can be reported
/// so soon. Autocorrelated noise needs more minutes. (The last minute before a step may be outside
/// too, and begin the row.)
#[test]
fn a_step_of_six_sigma_is_flagged_in_three_windows() {
    let series = scale(40, 1000);
    for (noise, share_in_three) in
        [(Noise::Normal, 0.95), (Noise::LogNormal, 0.95), (Noise::Poisson, 0.8), (Noise::Alike, 0.65)]
    {
        let mut within = [0; 6];
        for seed in 0..series {
            let (mut detector, mut next) = (Detector::new(0.0), noise.series(7_000_000 + seed as u64));
            for _ in 0..DAY {
                detector.observe(next());
            }
            let found = (0..within.len()).find(|_| detector.observe(noise.raised(next())).is_some());
            if let Some(minute) = found {
                within[minute..].iter_mut().for_each(|count| *count += 1);
            }
        }
        println!("{noise:?}: of {series} steps {} in three minutes, {} in six", within[2], within[5]);
        assert!(f64::from(within[2]) >= share_in_three * series as f64, "{noise:?}: {within:?}");
        assert!(f64::from(within[5]) >= 0.85 * series as f64, "{noise:?}: {within:?}");
    }
}

#[test]
fn two_minutes_are_no_anomaly_and_three_are() {
    let mut detector = after_a_day();
    for round in 0..50 {
        assert_eq!(observe_all(&mut detector, [200.0, 200.0, even(round)]), [], "{round}");
    }
    let mut detector = after_a_day();
    let found = observe_all(&mut detector, [200.0, 210.0, 220.0, 230.0]);
    assert_eq!(found.len(), 1, "told once");
    let anomaly = found[0];
    assert_eq!((anomaly.side, anomaly.value, anomaly.usual, anomaly.minutes), (Side::Above, 220.0, 100.0, 3));
    assert_eq!(anomaly.samples, DAY);
    assert!(anomaly.deviations > anomaly.limit && anomaly.limit >= 3.5);
    assert_eq!(detector.anomaly().map(|anomaly| (anomaly.minutes, anomaly.value)), Some((4, 230.0)));
}

#[test]
fn three_values_on_different_sides_are_no_row() {
    let mut detector = after_a_day();
    assert_eq!(observe_all(&mut detector, [200.0, 200.0, 0.0, 0.0, 200.0, 200.0]), []);
    assert_eq!(observe_all(&mut detector, [0.0, 0.0, 0.0])[0].side, Side::Below);
}

#[test]
fn a_minute_without_a_figure_ends_a_row() {
    let mut detector = after_a_day();
    assert_eq!(observe_all(&mut detector, [200.0, 200.0, f64::NAN, 200.0, f64::INFINITY, 200.0, 200.0]), []);
    detector.skip();
    assert_eq!(observe_all(&mut detector, [200.0, 200.0]), []);
    assert_eq!(detector.refused(), 2);
    assert_eq!(observe_all(&mut detector, [200.0]).len(), 1);
}

#[test]
fn nothing_is_unusual_within_the_first_hour() {
    let mut detector = Detector::new(0.0);
    assert_eq!(observe_all(&mut detector, (0..57).map(even)), []);
    assert_eq!(observe_all(&mut detector, [200.0; 3]), [], "these are minutes 58 to 60");
    let mut detector = Detector::new(0.0);
    assert_eq!(observe_all(&mut detector, (0..60).map(even)), []);
    assert_eq!(observe_all(&mut detector, [200.0; 3]).len(), 1);
}

/// Were they part of it, a quarter of an hour out of every hour would soon be usual.
#[test]
fn a_repeated_anomaly_does_not_become_usual() {
    let mut detector = after_a_day();
    let mut found = 0;
    for _ in 0..48 {
        found += observe_all(&mut detector, [200.0; 15]).len();
        assert_eq!(observe_all(&mut detector, (0..45).map(even)), []);
        assert_eq!(detector.anomaly(), None);
    }
    assert_eq!(found, 48);
}

#[test]
fn an_anomaly_ends_behind_three_usual_minutes() {
    let mut detector = after_a_day();
    observe_all(&mut detector, [200.0; 5]);
    observe_all(&mut detector, [100.0, 100.0, 200.0, 100.0, 100.0]);
    assert_eq!(detector.anomaly().map(|anomaly| anomaly.minutes), Some(6));
    observe_all(&mut detector, [100.0]);
    assert_eq!(detector.anomaly(), None);
}

#[test]
fn an_hour_of_it_is_how_things_are_now() {
    let mut detector = after_a_day();
    let raised = |minute| even(minute) + 100.0;
    assert_eq!(observe_all(&mut detector, (0..59).map(raised)).len(), 1);
    assert!(detector.anomaly().is_some());
    assert_eq!(observe_all(&mut detector, (59..200).map(raised)), []);
    assert_eq!(detector.anomaly(), None);
    assert_eq!(observe_all(&mut detector, (0..3).map(even))[0].side, Side::Below, "and what was usual no longer is");
}

#[test]
fn a_constant_figure_may_change_a_little() {
    let constant = |value, floor| {
        let mut detector = Detector::new(floor);
        observe_all(&mut detector, [value; DAY]);
        detector
    };
    // 3.5 times 2 % are 7 %.
    assert_eq!(observe_all(&mut constant(100.0, 0.0), [106.9; 10]), []);
    assert_eq!(observe_all(&mut constant(100.0, 0.0), [107.1; 10]).len(), 1);
    // Of a share of errors that was always nothing, half a percent is believed to be chance.
    assert_eq!(observe_all(&mut constant(0.0, 0.005), [0.0174; 10]), []);
    assert_eq!(observe_all(&mut constant(0.0, 0.005), [0.0176; 10]).len(), 1);
    // Also where the noise is small and multiplies.
    let mut detector = Detector::new(1.0);
    let mut random = Random::new(1);
    observe_all(&mut detector, (0..DAY).map(|_| 0.01 * random.normal().exp()));
    assert_eq!(observe_all(&mut detector, [3.4; 10]), []);
    assert_eq!(observe_all(&mut detector, [3.6; 10]).len(), 1);
}

/// A single spike of the day before must not set the mark that an hour of trouble has to pass.
#[test]
fn an_old_spike_hides_nothing() {
    let mut detector = after_a_day();
    observe_all(&mut detector, [10_000.0]);
    observe_all(&mut detector, (0..100).map(even));
    assert_eq!(observe_all(&mut detector, [300.0; 3]).len(), 1);
}

#[test]
fn latencies_that_fall_to_nothing_are_below() {
    let mut detector = Detector::new(0.0);
    let mut noise = Noise::LogNormal.series(3);
    observe_all(&mut detector, (0..DAY).map(|_| noise()));
    assert_eq!(observe_all(&mut detector, [0.0; 3])[0].side, Side::Below);
}

proptest! {
    #[test]
    fn any_figure_is_accepted(
        floor in any::<f64>(),
        usual in prop::collection::vec(any::<f64>(), 60..80),
        then in prop::collection::vec(any::<f64>(), 0..100),
    ) {
        let mut detector = Detector::new(floor);
        for value in usual.into_iter().chain(then) {
            if let Some(anomaly) = detector.observe(value) {
                prop_assert!(anomaly.deviations > anomaly.limit && anomaly.deviations <= 1e6, "{anomaly:?}");
            }
        }
    }
}
