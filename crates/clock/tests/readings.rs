//! The readings of each kind of clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tidegate_clock::{Clock, ManualClock, Source};

fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_system_clock_never_goes_back_and_clones_agree() {
    let clock = Clock::system();
    let clone = clock.clone();
    let (mut now, mut coarse, mut steady) = (clock.now(), clock.coarse(), clock.steady());
    for _ in 0..10_000 {
        let next = (clone.now(), clone.coarse(), clone.steady());
        assert!(next >= (now, coarse, steady) && next.1 >= coarse && next.2 >= steady);
        (now, coarse, steady) = next;
    }
    // The coarse clock is behind by its step, and both readings are apart by the loop's time.
    assert!(clock.coarse() <= clock.now() + Duration::from_millis(50));
    let wall = clock.unix();
    assert!(clock.steady().abs_diff(wall) < SECOND * 60, "{:?} and {wall:?}", clock.steady());
}

#[test]
fn advancing_moves_every_reading_of_every_clone() {
    let manual = ManualClock::at(at(5_000_000));
    let clock = Clock::from(&manual);
    assert_eq!((clock.now(), clock.coarse(), clock.steady()), (Duration::ZERO, Duration::ZERO, 5 * SECOND));
    manual.clone().advance(SECOND);
    assert_eq!((clock.now(), clock.coarse(), clock.steady()), (SECOND, SECOND, 6 * SECOND));
    assert_eq!((clock.wall(), clock.unix()), (at(6_000_000), 6 * SECOND));
    manual.advance(Duration::from_nanos(1));
    manual.advance(Duration::from_nanos(999));
    assert_eq!(manual.steady(), 6 * SECOND + Duration::from_micros(1));
}

#[test]
fn a_correction_of_the_wall_clock_moves_no_other_reading() {
    let manual = ManualClock::at(at(5_000_000));
    manual.advance(SECOND);
    for micros in [0, 1, 70_000_000, 6_000_000] {
        manual.set_wall(at(micros));
        assert_eq!((manual.wall(), manual.now(), manual.steady()), (at(micros), SECOND, 6 * SECOND));
    }
    manual.set_wall(at(1_000_000));
    manual.advance(SECOND);
    assert_eq!(manual.wall(), at(2_000_000));
    manual.set_wall(UNIX_EPOCH - SECOND);
    assert_eq!(manual.wall(), UNIX_EPOCH);
}

#[test]
fn the_ends_are_saturated() {
    let manual = ManualClock::new();
    manual.advance(Duration::MAX);
    manual.advance(Duration::MAX);
    assert_eq!(manual.now(), Duration::from_nanos(u64::MAX));
    let last = at(u64::MAX);
    manual.set(last);
    assert_eq!((manual.steady(), manual.wall()), (Duration::from_micros(u64::MAX), last));
    manual.set(UNIX_EPOCH);
    assert_eq!((manual.steady(), manual.now()), (Duration::ZERO, Duration::ZERO));
}

proptest! {
    #[test]
    fn set_means_what_it_says(origin in 0..=u64::MAX, moments in prop::collection::vec((0..=u64::MAX, 0..5_000_u64), 1..20)) {
        let manual = ManualClock::at(at(origin));
        for (moment, nanos) in moments {
            let (before, steady) = (manual.now(), manual.steady());
            manual.set(at(moment));
            prop_assert_eq!((manual.steady(), manual.wall()), (Duration::from_micros(moment), at(moment)));
            // Monotonic time follows, up to the rounding to whole microseconds.
            let follows = match manual.steady() < steady {
                true => manual.now() <= before,
                false => manual.now() + Duration::from_micros(1) >= before,
            };
            prop_assert!(follows);
            manual.advance(Duration::from_nanos(nanos));
        }
    }
}

struct Ticks(AtomicU64);

impl Source for Ticks {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        at(100_000_000)
    }
}

#[test]
fn a_source_is_read_once_per_reading() {
    let clock = Clock::from_source(Ticks(AtomicU64::new(10)));
    // The source's origin was 10 s ago, at 90 s.
    assert_eq!((clock.now(), clock.coarse(), clock.steady()), (11 * SECOND, 12 * SECOND, (90 + 13) * SECOND));
    assert_eq!(clock.unix(), 100 * SECOND);
}
