//! Blocks through the limiter.

use std::time::Duration;

use tidegate_ratelimit::{BlockPolicy, Decision, Limiter, ManualClock, MemoryLimiter, Quota, SlidingWindow, Timestamp};

use crate::support::now;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn limiter(clock: &ManualClock) -> MemoryLimiter<SlidingWindow> {
    let algorithm = SlidingWindow::new(Quota::per_second(2).unwrap());
    let policy = BlockPolicy::fixed(MINUTE).escalate(4 * MINUTE, HOUR);
    MemoryLimiter::builder("api", algorithm).block(policy).clock(clock.clone()).build()
}

fn go_over(limiter: &impl Limiter) -> Decision {
    for _ in 0..2 {
        assert!(now(limiter.check("key", 1)).unwrap().is_allowed());
    }
    now(limiter.check("key", 1)).unwrap()
}

#[test]
fn each_offence_doubles_the_block_up_to_the_cap() {
    let clock = ManualClock::default();
    let limiter = limiter(&clock);
    for minutes in [1, 2, 4, 4] {
        let denied = go_over(&limiter);
        assert_eq!(denied.blocked_for(), Some(minutes * MINUTE));
        assert_eq!((denied.retry_after(), denied.remaining()), (Some(minutes * MINUTE), 0));
        clock.advance(minutes * MINUTE);
    }
}

#[test]
fn requests_during_a_block_neither_extend_it_nor_strike() {
    let clock = ManualClock::default();
    let limiter = limiter(&clock);
    let _ = go_over(&limiter);
    for second in 1..60 {
        clock.advance(Duration::from_secs(1));
        let denied = now(limiter.check("key", 1)).unwrap();
        assert_eq!(denied.blocked_for(), Some(Duration::from_secs(60 - second)));
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(go_over(&limiter).blocked_for(), Some(2 * MINUTE));
}

#[test]
fn a_quiet_time_forgives() {
    let clock = ManualClock::default();
    let limiter = limiter(&clock);
    let _ = go_over(&limiter);
    clock.advance(MINUTE);
    let _ = go_over(&limiter);
    clock.advance(2 * MINUTE + HOUR);
    assert_eq!(go_over(&limiter).blocked_for(), Some(2 * MINUTE));
    clock.advance(2 * MINUTE + 3 * HOUR);
    assert_eq!(go_over(&limiter).blocked_for(), Some(MINUTE));
}

/// The block can end before the window does: the client gets the later time, and obeying never
/// causes a strike.
#[test]
fn waiting_as_told_is_enough() {
    let clock = ManualClock::default();
    let algorithm = SlidingWindow::new(Quota::per_hour(2).unwrap());
    let limiter =
        MemoryLimiter::builder("report", algorithm).block(BlockPolicy::fixed(MINUTE)).clock(clock.clone()).build();
    let denied = go_over(&limiter);
    assert_eq!((denied.blocked_for(), denied.retry_after()), (Some(MINUTE), Some(HOUR)));
    clock.advance(HOUR);
    assert!(now(limiter.check("key", 1)).unwrap().is_allowed());
}

#[test]
fn reset_and_unblock_differ_in_what_they_forget() {
    let clock = ManualClock::default();
    let limiter = limiter(&clock);
    assert!(!now(limiter.unblock("key")).unwrap());
    assert!(!now(limiter.reset("key")).unwrap());
    let _ = go_over(&limiter);
    assert!(now(limiter.unblock("key")).unwrap());
    assert_eq!(now(limiter.peek("key", 1)).unwrap().remaining(), 0);
    assert_eq!(now(limiter.peek("key", 1)).unwrap().blocked_for(), None);
    assert_eq!(now(limiter.check("key", 1)).unwrap().blocked_for(), Some(MINUTE), "strikes were forgotten");
    assert!(now(limiter.reset("key")).unwrap());
    assert_eq!(go_over(&limiter).blocked_for(), Some(MINUTE));
}

#[test]
fn a_manual_block_lasts_as_long_as_it_says() {
    let clock = ManualClock::default();
    let limiter = limiter(&clock);
    now(limiter.block("key", 100 * HOUR)).unwrap();
    assert_eq!(now(limiter.peek("key", 1)).unwrap().retry_after(), Some(100 * HOUR));
    now(limiter.block("key", MINUTE)).unwrap();
    assert_eq!(limiter.stats().blocked_keys, 1);
    clock.advance(MINUTE);
    assert_eq!(limiter.stats().blocked_keys, 0);
    assert_eq!(go_over(&limiter).blocked_for(), Some(MINUTE), "a manual block is no strike");
    now(limiter.block("key", Duration::ZERO)).unwrap();
    assert_eq!(now(limiter.check("key", 1)).unwrap().blocked_for(), Some(2 * MINUTE), "strikes stay");
    now(limiter.block("key", Duration::MAX)).unwrap();
    assert!(!now(limiter.check("key", 1)).unwrap().is_allowed());
}

#[test]
fn a_clock_set_back_does_not_prolong_a_block() {
    let clock = ManualClock::at(Timestamp::from_micros(1_000_000_000_000));
    let limiter = limiter(&clock);
    let _ = go_over(&limiter);
    clock.set(Timestamp::from_micros(5_000_000));
    assert_eq!(now(limiter.check("key", 1)).unwrap().blocked_for(), Some(MINUTE));
    clock.advance(MINUTE);
    assert!(now(limiter.check("key", 1)).unwrap().is_allowed());
}
