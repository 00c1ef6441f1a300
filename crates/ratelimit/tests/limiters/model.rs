//! A limiter with blocks compared with a short model for arbitrary operations, including all
//! counters.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_ratelimit::{BlockPolicy, FixedWindow, Limiter, ManualClock, MemoryLimiter, Quota, Timestamp};

use crate::support::now;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Check(u8, u64),
    Peek(u8, u64),
    Reset(u8),
    Block(u8, u64),
    Unblock(u8),
    Advance(u64),
}

#[derive(Default)]
struct Model {
    window: u64,
    used: u64,
    blocked_until: u64,
    strikes: u32,
    denied: u64,
}

const LIMIT: u64 = 3;
const WINDOW: u64 = 100;
const BLOCK: u64 = 1_000;
const CAP: u64 = 4_000;
const DECAY: u64 = 3_000;

impl Model {
    fn settle(&mut self, now: u64) {
        if now / WINDOW != self.window {
            (self.window, self.used) = (now / WINDOW, 0);
        }
    }

    fn strikes(&self, now: u64) -> u32 {
        let forgotten = u32::try_from(now.saturating_sub(self.blocked_until) / DECAY).unwrap();
        self.strikes.saturating_sub(forgotten)
    }

    fn would(&self, now: u64, cost: u64) -> bool {
        now >= self.blocked_until && self.used + cost <= LIMIT
    }

    fn check(&mut self, now: u64, cost: u64) -> bool {
        self.settle(now);
        let allowed = self.would(now, cost);
        if allowed {
            self.used += cost;
        } else {
            self.denied += 1;
            if now >= self.blocked_until {
                let strikes = self.strikes(now);
                self.blocked_until = now + (BLOCK << strikes).min(CAP);
                self.strikes = strikes + 1;
            }
        }
        allowed
    }
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        8 => (0_u8..4, 0..=LIMIT).prop_map(|(key, cost)| Operation::Check(key, cost)),
        2 => (0_u8..4, 0..=LIMIT).prop_map(|(key, cost)| Operation::Peek(key, cost)),
        1 => (0_u8..4).prop_map(Operation::Reset),
        1 => (0_u8..4, 0_u64..3_000).prop_map(|(key, ticks)| Operation::Block(key, ticks)),
        1 => (0_u8..4).prop_map(Operation::Unblock),
        4 => prop_oneof![0_u64..30, 0_u64..1_500, 0_u64..10_000].prop_map(Operation::Advance),
    ];
    prop::collection::vec(operation, 1..200)
}

/// The clock's unit is a tick of 1 ms, the minimum duration of a block.
const TICK: Duration = Duration::from_millis(1);

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap()
}

proptest! {
    #[test]
    fn agrees_with_the_model(operations in operations()) {
        let clock = ManualClock::at(Timestamp::from_micros(1_000_000));
        let policy = BlockPolicy::fixed(ticks(BLOCK)).escalate(ticks(CAP), ticks(DECAY));
        let quota = Quota::new(LIMIT, ticks(WINDOW))?;
        let limiter = MemoryLimiter::builder("model", FixedWindow::new(quota)).block(policy).clock(clock.clone()).build();
        let mut keys = HashMap::<u8, Model>::new();
        let (mut at, mut allowed, mut denied) = (1_000, 0, 0);
        for operation in operations {
            match operation {
                Operation::Check(key, cost) => {
                    let expected = keys.entry(key).or_default().check(at, cost);
                    let decision = now(limiter.check(&key.to_string(), cost))?;
                    prop_assert_eq!(decision.is_allowed(), expected);
                    *(if expected { &mut allowed } else { &mut denied }) += 1;
                    let model = &keys[&key];
                    let blocked = (model.blocked_until > at).then(|| ticks(model.blocked_until - at));
                    prop_assert_eq!(decision.blocked_for(), blocked);
                    prop_assert_eq!(decision.remaining(), if blocked.is_some() { 0 } else { LIMIT - model.used });
                }
                Operation::Peek(key, cost) => {
                    let known = keys.get_mut(&key);
                    let expected = known.is_none_or(|model| {
                        model.settle(at);
                        model.would(at, cost)
                    });
                    prop_assert_eq!(now(limiter.peek(&key.to_string(), cost))?.is_allowed(), expected);
                }
                Operation::Reset(key) => {
                    prop_assert_eq!(now(limiter.reset(&key.to_string()))?, keys.remove(&key).is_some());
                }
                Operation::Block(key, length) => {
                    now(limiter.block(&key.to_string(), ticks(length)))?;
                    let model = keys.entry(key).or_default();
                    (model.strikes, model.blocked_until) = (model.strikes(at), at + length);
                }
                Operation::Unblock(key) => {
                    let model = keys.get_mut(&key);
                    let expected = model.is_some_and(|model| {
                        let blocked = model.blocked_until > at;
                        (model.strikes, model.blocked_until) = (0, 0);
                        blocked
                    });
                    prop_assert_eq!(now(limiter.unblock(&key.to_string()))?, expected);
                }
                Operation::Advance(length) => {
                    at += length;
                    clock.advance(ticks(length));
                }
            }
        }
        let stats = limiter.stats();
        prop_assert_eq!((stats.allowed, stats.denied, stats.failed), (allowed, denied, 0));
        prop_assert_eq!((stats.tracked_keys, stats.evicted_live), (keys.len() as u64, 0));
        let blocked = keys.values().filter(|model| model.blocked_until > at).count() as u64;
        prop_assert_eq!(stats.blocked_keys, blocked);
        let mut most: Vec<_> = keys.iter().map(|(key, model)| (key.to_string(), model.denied)).collect();
        most.retain(|(_, denied)| *denied > 0);
        most.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        prop_assert_eq!(stats.top_denied, most);
    }
}
