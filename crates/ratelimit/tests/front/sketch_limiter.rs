//! The sketch limiter: fixed memory, heavy keys blocked, the others served.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use proptest::prelude::*;
use tidegate_ratelimit::{
    BlockPolicy, CheckError, Limiter, MAX_KEY_BYTES, ManualClock, Quota, SketchLimiter, Timestamp,
};
use tidegate_testkit::scale;

use crate::support::{clock, now};

const LIMIT: u64 = 1_000;
/// A quarter of the limit makes a key a suspect.
const SHARE: u64 = LIMIT / 4;
/// The documented memory.
const FIXED: u64 = 3 << 20;
const EACH_SUSPECT: u64 = 1_024;

fn door(clock: &ManualClock) -> SketchLimiter {
    SketchLimiter::builder("ddos").clock(clock.clone()).build()
}

fn admits(door: &SketchLimiter, key: &str) -> bool {
    door.check_now(key, 1).unwrap().is_allowed()
}

/// The text of an address, always in the same buffer.
fn address(text: &mut String, number: usize) -> &str {
    text.clear();
    let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
    write!(text, "10.{a}.{b}.{c}").unwrap();
    text
}

/// Addresses that are seen once per 5 s each, and one with 5,000 requests per second. That one is
/// blocked within a second for 10 s. At least 99.9 % of the other requests are served, and memory
/// does not grow.
#[test]
fn one_among_a_million_is_blocked_and_the_others_are_served() {
    const ATTACKER: &str = "192.0.2.66";
    const EVERY: usize = 5_000;
    let addresses = scale(50_000, 1_000_000);
    let clock = clock();
    let (mut served, mut others) = (0_u64, 0_u64);
    let (mut blocked_at, mut freed_at) = (None, None);
    let mut text = String::with_capacity(64);
    let memory = measure(|| {
        let door = door(&clock);
        for milli in 0..15_000 {
            for index in (milli % EVERY) * addresses / EVERY..(milli % EVERY + 1) * addresses / EVERY {
                // Neighbouring addresses are not consecutive.
                let number = index * 7_919 % addresses;
                served += u64::from(admits(&door, address(&mut text, number)));
                others += 1;
            }
            // During its block the attacker sends only an occasional request. The block remains.
            let quiet = blocked_at.is_some_and(|at| (at + 2_000..at + 9_000).contains(&milli));
            for _ in 0..if quiet { usize::from(milli % 1_000 == 0) } else { 5 } {
                match (admits(&door, ATTACKER), blocked_at) {
                    (false, None) => blocked_at = Some(milli),
                    (true, Some(at)) if freed_at.is_none() => freed_at = Some(milli - at),
                    _ => {}
                }
            }
            clock.advance(Duration::from_millis(1));
        }
    });
    assert!(blocked_at.is_some_and(|at| at < 1_000), "blocked at {blocked_at:?} ms");
    assert!(freed_at.is_some_and(|after| (10_000..10_002).contains(&after)), "free again after {freed_at:?} ms");
    assert!(served * 1_000 >= others * 999, "{served} of {others} served");
    // The others are not suspects, so there are few suspects.
    assert!(memory.bytes_max <= FIXED + 1_000 * EACH_SUSPECT, "{} bytes", memory.bytes_max);
    println!(
        "{addresses} addresses: blocked after {} ms for {} ms, {served} of {others} others served, {} bytes at most",
        blocked_at.unwrap(),
        freed_at.unwrap(),
        memory.bytes_max
    );
}

/// The total count is so high that most estimates exceed the limit although no key does. More keys
/// are suspects than there is capacity for, and none is refused.
#[test]
fn an_estimate_alone_refuses_nobody() {
    let clock = clock();
    let mut text = String::with_capacity(64);
    let (keys, again) = (60_000, 4_000);
    let memory = measure(|| {
        let door = SketchLimiter::builder("ddos").share(100).max_suspects(1_024).clock(clock.clone()).build();
        for number in 0..keys {
            assert!(door.check_now(address(&mut text, number), 500).unwrap().is_allowed());
        }
        for number in 0..again {
            assert!(door.check_now(address(&mut text, number), 450).unwrap().is_allowed());
        }
        let stats = door.stats();
        assert_eq!((stats.allowed, stats.denied, stats.failed), ((keys + again) as u64, 0, 0));
        assert!(stats.evicted_live > 0 && stats.tracked_keys <= 1_024);
    });
    assert!(memory.bytes_max <= FIXED + 1_024 * EACH_SUSPECT, "{} bytes", memory.bytes_max);
}

#[test]
fn a_check_of_a_light_key_allocates_nothing() {
    let door = SketchLimiter::builder("ddos").build();
    assert!(admits(&door, "203.0.113.9"));
    let checks = || {
        for _ in 0..100 {
            assert!(admits(&door, "203.0.113.9"));
        }
    };
    assert_eq!(measure(checks).count_total, 0);
}

#[test]
fn threads_admit_no_more_together() {
    let door = door(&clock());
    let barrier = Barrier::new(4);
    let run = || {
        barrier.wait();
        (0..2_000).map(|_| u64::from(admits(&door, "key"))).sum::<u64>()
    };
    let admitted: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((LIMIT..LIMIT + SHARE).contains(&admitted), "{admitted}");
    let stats = door.stats();
    assert_eq!((stats.allowed, stats.denied, stats.blocked_keys), (admitted, 8_000 - admitted, 1));
}

/// The last second of a trace, with its admissions.
#[derive(Default)]
struct Window(VecDeque<(u64, u64)>);

impl Window {
    fn add(&mut self, at: u64, cost: u64) -> u64 {
        self.0.push_back((at, cost));
        self.0.retain(|(then, _)| at - then < 1_000_000);
        self.0.iter().map(|(_, cost)| cost).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// In any second a key is admitted at most its limit, plus the share before it was a suspect.
    #[test]
    fn in_any_period_the_limit_and_the_share_at_most(
        trace in prop::collection::vec((0_u64..400_000, 0_u64..200), 1..300),
    ) {
        let clock = clock();
        let door = SketchLimiter::builder("ddos").without_block().clock(clock.clone()).build();
        let (mut window, mut at) = (Window::default(), 0);
        for (pause, cost) in trace {
            // Most arrive at once.
            let pause = if pause < 300_000 { pause / 100 } else { 10 * pause };
            at += pause;
            clock.advance(Duration::from_micros(pause));
            if door.check_now("key", cost).unwrap().is_allowed() {
                prop_assert!(window.add(at, cost) <= LIMIT + SHARE);
            }
        }
    }

    /// A key below half of the share is never refused, regardless of other keys.
    #[test]
    fn a_light_key_is_never_refused(
        others in prop::collection::vec((0_usize..50, 1_u64..1_000), 1..300),
    ) {
        let clock = clock();
        let door = door(&clock);
        for (number, cost) in others {
            let _ = door.check_now(&format!("other-{number}"), cost).unwrap();
            prop_assert!(admits(&door, "light"));
            clock.advance(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_peek_says_what_a_check_would() {
    let clock = clock();
    let door = door(&clock);
    assert_eq!(now(door.peek("key", 1)).unwrap().remaining(), LIMIT);
    for used in 0..SHARE - 1 {
        assert_eq!(now(door.peek("key", 1)).unwrap().remaining(), LIMIT - used);
        assert!(admits(&door, "key"));
    }
    // It is a suspect now, and its earlier charges do not count.
    for used in 0..LIMIT {
        assert_eq!(now(door.peek("key", 1)).unwrap().remaining(), LIMIT - used);
        assert!(admits(&door, "key"));
    }
    let peek = now(door.peek("key", 1)).unwrap();
    assert!(!peek.is_allowed() && peek.blocked_for().is_none());
    let check = door.check_now("key", 1).unwrap();
    assert_eq!(check.blocked_for(), Some(Duration::from_secs(10)));
    assert_eq!(now(door.peek("key", 1)).unwrap(), check);
}

#[test]
fn blocks_by_hand_and_forgets() {
    let clock = clock();
    let door = door(&clock);
    now(door.block("key", Duration::from_mins(1))).unwrap();
    clock.advance(Duration::from_secs(59));
    assert!(!admits(&door, "key"));
    assert_eq!(door.stats().top_denied, [("key".to_owned(), 1)]);
    assert!(now(door.unblock("key")).unwrap());
    assert!(admits(&door, "key"));
    now(door.block("key", Duration::from_mins(1))).unwrap();
    assert!(now(door.reset("key")).unwrap() && !now(door.reset("key")).unwrap());
    assert!(admits(&door, "key") && admits(&door, "other"));
}

#[test]
fn a_penalty_makes_a_suspect() {
    let door = door(&clock());
    assert_eq!(now(door.penalty("key", LIMIT - 1)).unwrap().remaining(), 1);
    assert!(admits(&door, "key"));
    assert_eq!(now(door.reward("key", 1)).unwrap().remaining(), 1);
    assert!(admits(&door, "key") && !admits(&door, "key"));
}

#[test]
fn escalates_as_its_policy_says() {
    let clock = clock();
    let policy = BlockPolicy::fixed(Duration::from_secs(10)).escalate(Duration::from_mins(5), Duration::from_hours(1));
    let door = SketchLimiter::builder("ddos").block(policy).clock(clock.clone()).build();
    for length in [10, 20, 40] {
        let denied = (0..=LIMIT + SHARE).find_map(|_| door.check_now("key", 1).unwrap().blocked_for());
        assert_eq!(denied, Some(Duration::from_secs(length)));
        clock.advance(Duration::from_secs(length));
    }
}

#[test]
fn takes_another_quota_at_once() {
    let door = door(&clock());
    let quota = Quota::per_second(8).unwrap();
    door.set_quota(quota).unwrap();
    assert_eq!(door.quota(), quota);
    let admitted = (0..20).filter(|_| admits(&door, "key")).count();
    assert_eq!(admitted, 1 + 8);
}

#[test]
fn says_what_can_not_be_asked() {
    let door = door(&clock());
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(door.check_now(&long, 1), Err(CheckError::KeyTooLong { .. })));
    assert!(matches!(door.check_now("key", LIMIT + 1), Err(CheckError::CostExceedsLimit { .. })));
    assert!(matches!(now(door.peek(&long, 1)), Err(CheckError::KeyTooLong { .. })));
    assert!(matches!(now(door.peek("key", u64::MAX)), Err(CheckError::CostExceedsLimit { .. })));
    assert_eq!(door.stats().failed, 2);
}

/// Blocked keys use the whole capacity: the next heavy key is refused above its limit, but not
/// blocked. Light keys are still admitted.
#[test]
fn without_room_for_suspects_the_light_are_still_served() {
    let door = SketchLimiter::builder("ddos").max_suspects(1).clock(clock()).build();
    now(door.block("one", Duration::from_hours(1))).unwrap();
    assert!(!admits(&door, "one"));
    for _ in 0..LIMIT {
        assert!(admits(&door, "two"));
    }
    assert!(matches!(door.check_now("two", 1), Err(CheckError::Full { .. })));
    assert!(admits(&door, "light") && !admits(&door, "one"));
}

/// A clock that jumps, a day back or a century forward, causes neither a block nor a panic.
#[test]
fn the_clock_may_jump() {
    let clock = clock();
    let door = door(&clock);
    let start = Timestamp::from_micros(1_700_000_000_000_000);
    for at in [
        start.as_micros(),
        start.as_micros() - 86_400_000_000,
        u64::MAX,
        0,
        start.as_micros() + 100 * 31_536_000_000_000,
    ] {
        clock.set(Timestamp::from_micros(at));
        for _ in 0..SHARE - 2 {
            assert!(admits(&door, "key"), "at {at}");
        }
    }
}

#[test]
fn bounds_and_keys_beyond_reason_are_told() {
    let door = SketchLimiter::builder("ddos").max_suspects(usize::MAX).clock(clock()).build();
    assert!(door.check_now("203.0.113.9", 1).unwrap().is_allowed());
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let refused = CheckError::KeyTooLong { length: 513, max: 512 };
    assert_eq!(now(door.reset(&long)), Err(refused.clone()));
    assert_eq!(now(door.unblock(&long)), Err(refused));
}
