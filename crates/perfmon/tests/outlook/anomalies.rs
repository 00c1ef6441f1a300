//! What is unusual is told, and steady noise is not.

use proptest::prelude::*;
use tidegate_perfmon::outlook::{Anomaly, Detector, Side};
use tidegate_testkit::scale;

use crate::random::Random;

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
            Self::Poisson => random.poisson(5.0),
            Self::Alike => {
                last = 0.5 * last + 0.75_f64.sqrt() * random.normal();
                100.0 + 10.0 * last
            }
        }
    }
}

/// Of each kind of noise as many days, every one by a detector that begins with it.
#[test]
fn a_thousand_series_days_of_steady_noise_flag_at_most_one() {
    let days = scale(20, 1000) as u64;
    for noise in Noise::ALL {
        let mut flagged = Vec::new();
        for seed in 0..days {
            let (mut detector, mut next) = (Detector::new(0.0), noise.series(seed));
            flagged.extend((0..DAY).filter_map(|_| detector.observe(next())).map(|anomaly| (seed, anomaly)));
        }
        println!("{noise:?}: {} in {days} days", flagged.len());
        assert!(flagged.len() <= 1, "{noise:?}: {flagged:?}");
    }
}
