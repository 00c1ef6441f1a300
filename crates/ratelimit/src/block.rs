//! The automatic block of a key that exceeds its limit.

use std::time::Duration;

use crate::Timestamp;
use crate::timestamp::whole_micros;

/// How long a key that exceeds its limit is refused, and how that duration grows with repetition.
///
/// Only the transition from unblocked to blocked counts as a strike. Refusals during a block
/// neither count as a strike nor extend the block. A client that waits for `retry_after` gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPolicy {
    base: u64,
    escalation: Option<Escalation>,
    /// Maximum extension of a block, in percent of its length.
    jitter: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Escalation {
    cap: u64,
    decay: u64,
}

impl BlockPolicy {
    /// Maximum duration of an automatic block.
    pub const MAX: Duration = Duration::from_secs(24 * 3_600);

    /// Blocks for `duration` every time. Clamped to between 1 ms and [`BlockPolicy::MAX`].
    pub fn fixed(duration: Duration) -> Self {
        Self { base: whole_micros(duration.clamp(Duration::from_millis(1), Self::MAX)), escalation: None, jitter: 0 }
    }

    /// Blocks for `duration × 2^strikes`, at most `cap`. One strike expires after each `decay`
    /// without a block. `cap` is clamped to between the fixed duration and [`BlockPolicy::MAX`],
    /// and `decay` to at least 1 ms.
    #[must_use]
    pub fn escalate(self, cap: Duration, decay: Duration) -> Self {
        let cap = whole_micros(cap.min(Self::MAX)).max(self.base);
        let decay = whole_micros(decay).max(1_000);
        Self { escalation: Some(Escalation { cap, decay }), ..self }
    }

    /// Extends each block by up to `percent` of its length, at most 100, so that clients that
    /// exceeded a limit together do not return together. The result may exceed the cap of
    /// [`escalate`](Self::escalate), but not [`BlockPolicy::MAX`].
    ///
    /// It depends only on the key and its strikes: every process, and Redis, computes the same.
    #[must_use]
    pub fn jitter(self, percent: u8) -> Self {
        Self { jitter: percent.min(100), ..self }
    }

    /// Duration, cap and decay of a strike, in microseconds. Without escalation the last two are
    /// zero.
    #[cfg(feature = "redis")]
    pub(crate) fn rule(&self) -> [u64; 3] {
        let Escalation { cap, decay } = self.escalation.unwrap_or(Escalation { cap: 0, decay: 0 });
        [self.base, cap, decay]
    }

    /// The jitter in percent and the key's seed, encoded in one number.
    #[cfg(feature = "redis")]
    pub(crate) fn jitter_of(&self, key: &str) -> u64 {
        if self.jitter == 0 { 0 } else { u64::from(self.jitter) * PARTS + seed(key) }
    }

    /// Adds the jitter to a block's length, in microseconds.
    fn jittered(&self, length: u64, strikes: u32, key: &str) -> u64 {
        if self.jitter == 0 {
            return length;
        }
        // An odd factor reaches all values, and consecutive strikes get distant ones.
        let part = (seed(key) + u64::from(strikes) % PARTS * 40_503) % PARTS;
        let longest = length * u64::from(self.jitter) / 100;
        (length + longest * part / PARTS).min(whole_micros(Self::MAX))
    }

    pub(crate) fn strike(&self, block: &mut Block, now: Timestamp, key: &str) -> Duration {
        let (length, strikes) = match self.escalation {
            None => (self.base, 0),
            Some(Escalation { cap, .. }) => {
                let strikes = self.strikes(block, now);
                // 2^37 × 1 ms exceeds the maximum cap, so a larger shift would change nothing.
                let length = u128::from(self.base) << strikes.min(37);
                (u64::try_from(length).unwrap_or(cap).min(cap), strikes.saturating_add(1))
            }
        };
        let length = self.jittered(length, strikes, key);
        *block = Block { until: now.as_micros().saturating_add(length), length, strikes };
        Duration::from_micros(length)
    }

    /// Strikes that have not expired.
    pub(crate) fn strikes(&self, block: &Block, now: Timestamp) -> u32 {
        let Some(Escalation { decay, .. }) = self.escalation else { return 0 };
        let forgotten = now.as_micros().saturating_sub(block.until) / decay;
        block.strikes.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

/// Number of distinct jitter values.
const PARTS: u64 = 1 << 16;

/// A number below [`PARTS`] from the key alone (FNV-1a, folded). Stable across releases.
fn seed(key: &str) -> u64 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = key.bytes().fold(0x811c_9dc5, step);
    u64::from((hash >> 16) ^ (hash & 0xffff))
}

/// The block of one key. The default is no block and no strikes.
// Packed, so that a key and its state fit in one cache line of the processor.
#[repr(Rust, packed(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    until: u64,
    length: u64,
    strikes: u32,
}

impl Block {
    pub(crate) fn manual(now: Timestamp, duration: Duration, strikes: u32) -> Self {
        let length = whole_micros(duration);
        Self { until: now.as_micros().saturating_add(length), length, strikes }
    }

    /// Remaining duration of the block. Never more than its length, even if the clock is set back.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.until.saturating_sub(now.as_micros()).min(self.length);
        (left > 0).then(|| Duration::from_micros(left))
    }

    /// Restarts the block if the clock was set back: it ends after its length has passed again.
    pub(crate) fn follow_clock(&mut self, now: Timestamp) {
        self.until = self.until.min(now.as_micros().saturating_add(self.length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn doubles_up_to_the_cap_and_decays() {
        let policy = BlockPolicy::fixed(seconds(60)).escalate(seconds(300), seconds(1_000));
        let mut block = Block::default();
        let mut now = 5;
        for expected in [60, 120, 240, 300, 300] {
            assert_eq!(policy.strike(&mut block, at(now), "key"), seconds(expected));
            assert_eq!(block.left(at(now + expected - 1)), Some(seconds(1)));
            now += expected;
            assert_eq!(block.left(at(now)), None);
        }
        assert_eq!(policy.strikes(&block, at(now + 999)), 5);
        assert_eq!(policy.strikes(&block, at(now + 1_000)), 4);
        assert_eq!(policy.strikes(&block, at(now + 5_000)), 0);
        assert_eq!(policy.strike(&mut block, at(now + 4_000), "key"), seconds(120));
    }

    #[test]
    fn a_fixed_block_never_grows() {
        let policy = BlockPolicy::fixed(seconds(60));
        let mut block = Block::default();
        for round in 0..40 {
            assert_eq!(policy.strike(&mut block, at(60 * round), "key"), seconds(60));
        }
    }

    #[test]
    fn any_number_of_strikes_stays_at_the_cap() {
        let policy = BlockPolicy::fixed(Duration::ZERO).escalate(Duration::MAX, Duration::MAX);
        let mut block = Block { strikes: u32::MAX, ..Block::default() };
        assert_eq!(policy.strike(&mut block, Timestamp::MAX, "key"), BlockPolicy::MAX);
        assert_eq!(block.strikes, u32::MAX);
        let mut longest = Block { strikes: 40, ..Block::default() };
        assert_eq!(BlockPolicy::fixed(Duration::MAX).strike(&mut longest, at(0), "key"), BlockPolicy::MAX);
    }

    #[test]
    fn a_clock_set_back_restarts_the_block_at_most() {
        let policy = BlockPolicy::fixed(seconds(60));
        let mut block = Block::default();
        policy.strike(&mut block, at(1_000_000), "key");
        assert_eq!(block.left(at(10)), Some(seconds(60)));
        block.follow_clock(at(10));
        assert_eq!(block.left(at(70)), None);
    }

    #[test]
    fn jitter_lengthens_by_at_most_its_part_and_differs_between_keys() {
        let policy = BlockPolicy::fixed(seconds(60)).escalate(seconds(600), seconds(1_000)).jitter(10);
        let mut lengths = std::collections::HashSet::new();
        for key in 0..1_000 {
            let mut block = Block::default();
            let key = format!("key-{key}");
            for due in [60, 120, 240, 480, 600, 600] {
                let length = policy.strike(&mut block, at(0), &key);
                assert!(seconds(due) <= length && length < seconds(due) * 11 / 10, "{length:?}");
                lengths.insert(length);
                // The same value is computed everywhere.
                assert_eq!(policy.jittered(due * 1_000_000, block.strikes, &key), whole_micros(length));
            }
        }
        assert!(lengths.len() > 5_000, "{}", lengths.len());
        // Never above the maximum.
        let longest = BlockPolicy::fixed(Duration::MAX).jitter(u8::MAX);
        assert_eq!(longest.strike(&mut Block::default(), at(0), "key"), BlockPolicy::MAX);
    }
}
