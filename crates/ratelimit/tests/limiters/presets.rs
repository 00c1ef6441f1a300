//! The presets.

use std::time::Duration;

use tidegate_ratelimit::{Limiter, ManualClock, MemoryLimiter, Preset, SlidingWindow};

/// A key above the limit is blocked for the documented time, and for twice as long the next time.
#[test]
fn each_blocks_for_as_long_as_promised() {
    let expected = [("api", 100, 60), ("auth", 5, 900), ("report", 10, 300), ("ddos", 1_000, 10)];
    for (preset, (name, limit, seconds)) in Preset::all().into_iter().zip(expected) {
        let clock = ManualClock::default();
        let algorithm = SlidingWindow::new(preset.quota);
        let limiter = MemoryLimiter::builder(preset.name, algorithm).block(preset.block).clock(clock.clone()).build();
        assert_eq!((limiter.name(), limiter.quota().limit()), (name, limit));
        for round in 0..2 {
            assert!(limiter.check_now("key", limit).unwrap().is_allowed());
            let block = Duration::from_secs(seconds << round);
            assert_eq!(limiter.check_now("key", 1).unwrap().blocked_for(), Some(block), "{name}");
            clock.advance(block.max(preset.quota.period()));
        }
    }
}
