//! A slope is found under noise and outliers, and none is where there is none.

use proptest::prelude::*;
use tidegate_perfmon::outlook::{Point, trend};
use tidegate_testkit::{Random, scale};

fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
    (0..).zip(values).map(|(minute, value)| Point { minute, value }).collect()
}

/// Normal noise, of which so much is that of the minute before.
fn noise(seed: u64, alike: f64) -> impl FnMut() -> f64 {
    let mut random = Random::new(seed);
    let mut last = 0.0;
    move || {
        last = alike * last + (1.0 - alike * alike).sqrt() * random.normal();
        last
    }
}

#[test]
fn a_line_has_its_slope() {
    let trend = trend(&points((0..100).map(|minute| 7.0 - 0.25 * f64::from(minute)))).unwrap();
    assert!((trend.slope + 0.25).abs() < 1e-9, "{trend:?}");
    assert!((trend.low + 0.25).abs() < 1e-9 && (trend.high + 0.25).abs() < 1e-9, "{trend:?}");
    assert!(trend.is_significant());
    assert_eq!((trend.points, trend.minutes), (100, 99));
    assert!((trend.change() + 24.75).abs() < 1e-9);
}

#[test]
fn a_quarter_of_wild_points_bends_it_little() {
    let mut next = noise(1, 0.0);
    let values = (0..120).map(|minute| if minute % 4 == 0 { 1e6 } else { 0.5 * f64::from(minute) + next() });
    let trend = trend(&points(values)).unwrap();
    assert!((0.4..0.6).contains(&trend.slope) && trend.is_significant(), "{trend:?}");
}

#[test]
fn minutes_that_are_missing_do_not_steepen_it() {
    let points: Vec<Point> = (0..60).map(|at| Point { minute: at * at, value: 3.0 * at as f64 * at as f64 }).collect();
    assert!((trend(&points).unwrap().slope - 3.0).abs() < 1e-9);
}

#[test]
fn thirty_points_are_needed_and_the_last_three_hours_count() {
    let line = points((0..1000).map(f64::from));
    assert_eq!(trend(&line[..29]), None);
    assert_eq!(trend(&line[..30]).unwrap().points, 30);
    assert_eq!(trend(&line).unwrap().points, 180);
}

#[test]
fn a_constant_series_has_no_trend() {
    let trend = trend(&points([5.0; 100])).unwrap();
    assert_eq!((trend.slope, trend.p_value), (0.0, 1.0));
    assert!(!trend.is_significant());
}

/// At most one of 100 series without a trend may seem to have one, also with autocorrelated noise.
/// Without the correction it was one of nine at an autocorrelation of a half, and more than one of
/// three at eight tenths.
#[test]
fn noise_rarely_has_a_trend() {
    let series = scale(200, 2000);
    for alike in [0.0, 0.5, 0.8] {
        let found = (0..series)
            .filter(|&seed| {
                let mut next = noise(seed as u64, alike);
                trend(&points((0..120).map(|_| next()))).unwrap().is_significant()
            })
            .count();
        println!("alike by {alike}: {found} trends in {series} series without one");
        assert!(found * 50 <= series, "alike by {alike}: {found} of {series}");
    }
}

#[test]
fn the_interval_holds_the_slope() {
    let series = scale(200, 2000);
    for alike in [0.0, 0.5] {
        let held = (0..series)
            .filter(|&seed| {
                let mut next = noise(seed as u64, alike);
                let trend = trend(&points((0..120).map(|minute| 0.02 * f64::from(minute) + next()))).unwrap();
                (trend.low..=trend.high).contains(&0.02)
            })
            .count();
        println!("alike by {alike}: {held} of {series} intervals hold the slope");
        assert!(held * 100 >= series * 92, "alike by {alike}: {held} of {series}");
    }
}

#[test]
fn a_leak_of_half_a_deviation_an_hour_is_found() {
    let found = (0..50)
        .filter(|&seed| {
            let mut next = noise(seed, 0.0);
            trend(&points((0..180).map(|minute| f64::from(minute) / 120.0 + next()))).unwrap().is_significant()
        })
        .count();
    assert!(found >= 45, "{found} of 50");
}

proptest! {
    #[test]
    fn any_points_are_accepted(points in prop::collection::vec((any::<u64>(), any::<f64>()), 0..60)) {
        let points: Vec<Point> = points.into_iter().map(|(minute, value)| Point { minute, value }).collect();
        prop_assert_eq!(trend(&points).filter(|trend| !trend.slope.is_finite()), None);
    }

    #[test]
    fn large_and_far_apart_is_fine(points in prop::collection::btree_map(any::<u64>(), -1e100..1e100, 30..60)) {
        let points: Vec<Point> = points.into_iter().map(|(minute, value)| Point { minute, value }).collect();
        let trend = trend(&points).unwrap();
        prop_assert!(trend.low <= trend.slope && trend.slope <= trend.high, "{trend:?}");
        prop_assert!((0.0..=1.0).contains(&trend.p_value));
    }
}
