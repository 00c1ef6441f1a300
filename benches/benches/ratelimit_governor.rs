//! Ours compared with governor (GCRA, as our token bucket). Rounds take turns, and the processor
//! time of one thread is measured, so the ratios hold on a busy machine too. A ratio below 1 means
//! that ours is faster.
//!
//! Both sides have the same clock: a fixed one, then governor's own. governor answers yes or no.
//! Ours, keyed, also returns the limit, the remaining quota and the time when it is full again,
//! counts its decisions, and never holds more keys than its cap.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::hint::black_box;
use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tidegate_benches::{Comparison, Order, SameClock};
use tidegate_ratelimit::{Clock, ManualClock, MemoryLimiter, Quota, SingleLimiter, TokenBucket};

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted.
const ROOM: usize = 2 * KEYS as usize;
const ROUNDS: usize = 41;
const UNKEYED: u32 = 1_000_000;
const KEYED: u32 = 200_000;

fn main() {
    unkeyed();
    keyed();
}

fn unkeyed() {
    let still = SingleLimiter::with_clock(quota(), Clock::from(ManualClock::new())).expect("slow enough");
    let theirs = RateLimiter::direct_with_clock(foreign(), FakeRelativeClock::default());
    let clockless = Comparison::in_turns(
        ROUNDS,
        UNKEYED,
        |steps| (0..steps).for_each(|_| assert!(still.admits(black_box(1)))),
        |steps| (0..steps).for_each(|_| assert!(theirs.check().is_ok())),
    );
    println!("check without a key, clock stands still: {clockless}");
    let same = SingleLimiter::with_clock(quota(), SameClock::default()).expect("slow enough");
    let theirs = RateLimiter::direct(foreign());
    let clocked = Comparison::in_turns(
        ROUNDS,
        UNKEYED,
        |steps| (0..steps).for_each(|_| assert!(same.admits(black_box(1)))),
        |steps| (0..steps).for_each(|_| assert!(theirs.check().is_ok())),
    );
    println!("check without a key, QuantaClock: {clocked}");
}

fn keyed() {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("tenant-{number}")).collect();
    let order = Order::uniform(KEYS);
    let compare = |name: &str, ours: &MemoryLimiter<TokenBucket>, theirs: &dyn Fn(&String) -> bool| {
        let ours = |key: &String| black_box(ours.check_now(key, 1).expect("one fits")).is_allowed();
        assert!(keys.iter().all(|key| ours(key) && theirs(key)), "from now on no key is new");
        let (mut our_walk, mut their_walk) = (order.walk(0), order.walk(1));
        let all = Comparison::in_turns(
            ROUNDS,
            KEYED,
            |steps| (0..steps).for_each(|_| assert!(ours(&keys[our_walk.step()]))),
            |steps| (0..steps).for_each(|_| assert!(theirs(&keys[their_walk.step()]))),
        );
        println!("keyed check, 100,000 String keys, {name}: {all}");
        let hot = Comparison::in_turns(
            ROUNDS,
            KEYED,
            |steps| (0..steps).for_each(|_| assert!(ours(black_box(&keys[0])))),
            |steps| (0..steps).for_each(|_| assert!(theirs(black_box(&keys[0])))),
        );
        println!("keyed check, one hot key, {name}: {hot}");
    };
    let bucket = || MemoryLimiter::builder("bench", TokenBucket::new(quota())).max_keys(ROOM);
    let theirs = RateLimiter::dashmap_with_clock(foreign(), FakeRelativeClock::default());
    let ours = bucket().clock(ManualClock::default()).build();
    compare("clock stands still", &ours, &|key| theirs.check_key(key).is_ok());
    let theirs: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(foreign());
    let ours = bucket().clock(Clock::from_source(SameClock::default())).build();
    compare("QuantaClock", &ours, &|key| theirs.check_key(key).is_ok());
}

/// A limit that is never reached.
fn quota() -> Quota {
    Quota::per_second(500_000_000).expect("a good quota")
}

fn foreign() -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::new(500_000_000).expect("not zero"))
}
