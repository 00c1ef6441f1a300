//! A flood of identities: memory stays at the cap, and a block outlasts the flood.

use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use tidegate_ratelimit::{Limiter, ManualClock, MemoryLimiter, Quota, SlidingWindow};
use tidegate_testkit::scale;

use crate::support::now;

/// Environment variable of the process that is flooded.
const FLOODED: &str = "TIDEGATE_RATELIMIT_TEST_FLOODED";
const BAN: Duration = Duration::from_hours(24);

/// Runs in a separate process, so that its memory is the limiter's. The child is this test binary.
#[test]
#[cfg(target_os = "linux")]
fn random_keys_take_no_more_memory_than_the_cap() {
    if env::var_os(FLOODED).is_some() {
        return flood();
    }
    let test = "flood::random_keys_take_no_more_memory_than_the_cap";
    let child = Command::new(env::current_exe().unwrap()).args(["--exact", test]).env(FLOODED, "1").output().unwrap();
    assert!(
        child.status.success(),
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
}

fn flood() {
    let (cap, keys) = (scale(100_000, 1_000_000), scale(250_000, 100_000_000) as u64);
    let clock = ManualClock::default();
    let algorithm = SlidingWindow::new(Quota::per_minute(5).unwrap());
    let limiter = MemoryLimiter::builder("flooded", algorithm).max_keys(cap).clock(clock.clone()).build();
    now(limiter.block("banned", BAN)).unwrap();
    let (mut random, mut at_the_cap) = (1_u64, 0);
    for nth in 0..keys {
        // With a stopped clock nothing would expire, with a fast one everything.
        clock.advance(Duration::from_micros(1));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = limiter.check_now(&format!("{:016x}", random ^ (random >> 32)), 1).unwrap();
        // Nearly full, before most shards have evicted anything.
        if nth == cap as u64 * 96 / 100 {
            at_the_cap = own_bytes();
            assert!(limiter.stats().tracked_keys > cap as u64 * 9 / 10);
        }
    }
    let (after, stats) = (own_bytes(), limiter.stats());
    assert!(after * 100 <= at_the_cap * 105, "{after} B after {keys} keys, {at_the_cap} B at the cap of {cap}");
    assert!(stats.tracked_keys <= cap as u64 && stats.evicted_live > 0, "{stats:?}");
    let left = limiter.check_now("banned", 1).unwrap().blocked_for();
    assert_eq!(left, Some(BAN - Duration::from_micros(keys)));
}

/// Private memory of the process. Counted by iterating over the pages: `VmRSS` may be outdated by
/// hundreds of pages per processor, and grows with each page of code that runs for the first time.
fn own_bytes() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
