//! A key that deviates from its own history is flagged; others are not.

use std::f64::consts::TAU;
use std::time::Duration;

use tidegate_ratelimit::{AnomalyDetector, CheckError, Habit, MAX_KEY_BYTES, ManualClock, Timestamp};
use tidegate_testkit::{Random, scale};

use crate::support::clock;

const DAY: u64 = 86_400;

fn detector() -> (AnomalyDetector, ManualClock) {
    let clock = clock();
    (AnomalyDetector::builder().clock(clock.clone()).build(), clock)
}

fn is_flagged(habit: Habit) -> bool {
    matches!(habit, Habit::Flagged { .. })
}

/// Rates per second, from one request per ten seconds to twenty per second.
const RATES: [f64; 6] = [0.1, 0.5, 1.0, 2.0, 5.0, 20.0];

/// 24 hours of every rate, second by second, steady and with a daily variation between a tenth and
/// 1.9 times the rate: no flag. Then each rate rises tenfold. Those above 6 requests per second are
/// flagged within 60 s.
#[test]
fn a_tenfold_key_is_flagged_and_a_steady_one_never() {
    let (seeds, step) = (u64::try_from(scale(1, 20)).unwrap(), 5);
    let mut slowest = 0;
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        for swell in [0.0, 0.9] {
            let (detector, clock) = detector();
            for second in (0..DAY).step_by(step) {
                let tide = 1.0 + swell * (TAU * second as f64 / DAY as f64).sin();
                for (number, rate) in RATES.iter().enumerate() {
                    let count = random.poisson(rate * tide * step as f64);
                    let habit = detector.observe(&format!("key-{number}"), count).unwrap();
                    assert!(!is_flagged(habit), "seed {seed}, swell {swell}, rate {rate} after {second} s");
                }
                clock.advance(Duration::from_secs(step as u64));
            }
            for (number, rate) in RATES.iter().enumerate().filter(|(_, rate)| **rate * 10.0 > 6.0) {
                let (key, mut within) = (format!("key-{number}"), None);
                let start = clock.clone();
                for second in 1..=60 {
                    start.advance(Duration::from_secs(1));
                    if is_flagged(detector.observe(&key, random.poisson(rate * 10.0)).unwrap()) {
                        within = Some(second);
                        break;
                    }
                }
                assert!(within.is_some(), "seed {seed}, swell {swell}, rate {rate} is not flagged");
                slowest = within.unwrap().max(slowest);
            }
        }
    }
    println!("{seeds} seeds: none of {} steady days flagged, each tenfold key within {slowest} s", seeds * 12);
}

/// Requests in bursts are part of the history too.
#[test]
fn a_key_that_comes_in_bursts_is_not_flagged_for_them() {
    let (detector, clock) = detector();
    for interval in 0..2_000 {
        let count = if interval % 6 == 0 { 200 } else { 10 };
        assert!(!is_flagged(detector.observe("bursts", count).unwrap()));
        clock.advance(Duration::from_secs(10));
    }
}

fn learned(detector: &AnomalyDetector, clock: &ManualClock, key: &str, count: u64) {
    for interval in 0..40 {
        let expected = if interval <= 30 { Habit::Learning } else { Habit::Normal };
        let habit = detector.observe(key, count).unwrap();
        assert!(habit == expected || interval == 30, "{interval}: {habit:?}");
        clock.advance(Duration::from_secs(10));
    }
}

#[test]
fn who_rests_comes_back_as_who_it_was() {
    let (detector, clock) = detector();
    learned(&detector, &clock, "key", 100);
    clock.advance(Duration::from_hours(12));
    assert_eq!(detector.observe("key", 100).unwrap(), Habit::Normal);
    assert!(is_flagged(detector.observe("key", 900).unwrap()));
    clock.advance(Duration::from_hours(25));
    assert_eq!(detector.observe("key", 1_000).unwrap(), Habit::Learning);
}

#[test]
fn a_flag_falls_when_the_key_is_calm_again() {
    let (detector, clock) = detector();
    learned(&detector, &clock, "key", 20);
    assert!(is_flagged(detector.observe("key", 200).unwrap()));
    let flag = &detector.flagged()[0];
    assert_eq!((flag.key.as_str(), flag.count, flag.mean.round()), ("key", 200, 20.0));
    for _ in 0..6 {
        clock.advance(Duration::from_secs(10));
        assert!(is_flagged(detector.observe("key", 20).unwrap()));
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(detector.habit("key"), Some(Habit::Normal));
    assert!(detector.flagged().is_empty());
    // The history did not change meanwhile: the same count raises the flag again.
    assert!(is_flagged(detector.observe("key", 200).unwrap()));
    clock.advance(Duration::from_mins(2));
    assert_eq!(detector.habit("key"), Some(Habit::Normal));
}

#[test]
fn a_rate_that_lasts_is_a_habit_after_an_hour_or_when_somebody_says_so() {
    let (detector, clock) = detector();
    learned(&detector, &clock, "key", 20);
    let mut flagged = 0;
    while is_flagged(detector.observe("key", 300).unwrap()) {
        flagged += 1;
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!((flagged, detector.habit("key")), (360, Some(Habit::Learning)));

    learned(&detector, &clock, "other", 20);
    assert!(is_flagged(detector.observe("other", 300).unwrap()));
    assert!(detector.unflag("other") && !detector.unflag("other") && !detector.unflag("never seen"));
    learned(&detector, &clock, "other", 300);
    assert_eq!(detector.habit("other"), Some(Habit::Normal));
}

/// A flood of keys that are seen once displaces neither heavy keys nor a flag.
#[test]
fn heavy_and_flagged_keys_stay() {
    let clock = clock();
    let detector = AnomalyDetector::builder().max_keys(100).clock(clock.clone()).build();
    learned(&detector, &clock, "heavy", 50);
    learned(&detector, &clock, "flagged", 10);
    assert!(is_flagged(detector.observe("flagged", 100).unwrap()));
    for number in 0..10_000 {
        assert_eq!(detector.observe(&format!("random-{number}"), 1).unwrap(), Habit::Learning);
    }
    assert_eq!(detector.habit("heavy"), Some(Habit::Normal));
    assert_eq!(detector.flagged().len(), 1);
    assert!(detector.forget("flagged") && detector.habit("flagged").is_none());
}

#[test]
fn the_clock_may_jump_and_keys_may_be_long() {
    let (detector, clock) = detector();
    learned(&detector, &clock, "key", 20);
    for micros in [0, u64::MAX, 1_700_000_000_000_000] {
        clock.set(Timestamp::from_micros(micros));
        assert!(!is_flagged(detector.observe("key", 20).unwrap()));
    }
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(detector.observe(&long, 1), Err(CheckError::KeyTooLong { .. })));
    assert!(!is_flagged(detector.observe("key", u64::MAX).unwrap()));
}
