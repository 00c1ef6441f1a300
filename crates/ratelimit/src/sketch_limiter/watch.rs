//! The set of keys that are counted exactly, each with an end time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// Stores hashes until an end time, in fixed memory and without locks. Never removes one early.
///
/// A hash has two cells, and each holds the latest end time of its hashes. A hash can therefore be
/// a false positive if others hold both of its cells. The cost is an exact check.
pub(super) struct Watch {
    cells: Box<[AtomicU64]>,
}

/// Cells per hash: if the set is full, one in 64 other hashes is a false positive.
const CELLS_EACH: usize = 16;
/// Added to each end time, so that the cells of a busy key are rarely written.
const MORE: Duration = Duration::from_millis(100);

impl Watch {
    pub(super) fn new(hashes: usize) -> Self {
        let count = hashes.saturating_mul(CELLS_EACH).next_power_of_two();
        Self { cells: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn holds(&self, hash: u64, now: Timestamp) -> bool {
        self.cells_of(hash).iter().all(|cell| cell.load(Ordering::Acquire) > now.as_micros())
    }

    pub(super) fn hold(&self, hash: u64, now: Timestamp, length: Duration) {
        let until = now.saturating_add(length);
        for cell in self.cells_of(hash) {
            if cell.load(Ordering::Relaxed) < until.as_micros() {
                cell.fetch_max(until.saturating_add(MORE).as_micros(), Ordering::AcqRel);
            }
        }
    }

    fn cells_of(&self, hash: u64) -> [&AtomicU64; 2] {
        // Uses other bits than those that select the sketch's cells.
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mask = self.cells.len() - 1;
        let at = |bits: u64| &self.cells[usize::try_from(bits & u64::from(u32::MAX)).unwrap_or(0) & mask];
        [at(mixed >> 32), at(mixed.rotate_left(13) ^ hash)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(5_000_000_000 + millis * 1_000)
    }

    #[test]
    fn holds_at_least_as_long_as_asked() {
        let watch = Watch::new(100);
        assert!(!watch.holds(1, at(0)));
        watch.hold(1, at(50), Duration::from_secs(10));
        watch.hold(1, at(60), Duration::from_secs(1));
        assert!(watch.holds(1, at(10_049)));
        assert!(!watch.holds(1, at(10_150)));
    }

    #[test]
    fn holds_on_when_the_clock_is_set_back() {
        let watch = Watch::new(100);
        watch.hold(1, at(50_000), Duration::from_secs(10));
        assert!(watch.holds(1, at(0)) && watch.holds(1, Timestamp::MIN));
        watch.hold(2, Timestamp::MAX, Duration::MAX);
    }

    #[test]
    fn takes_few_strangers_for_its_own() {
        let watch = Watch::new(1_000);
        let mix = |key: u64| {
            let mixed = (key + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
            mixed.wrapping_mul(0x94D0_49BB_1331_11EB)
        };
        for key in 0..1_000 {
            watch.hold(mix(key), at(0), Duration::from_secs(1));
        }
        assert!((0..1_000).all(|key| watch.holds(mix(key), at(0))));
        let strangers = (1_000..101_000).filter(|key| watch.holds(mix(*key), at(0))).count();
        assert!(strangers < 100_000 / 40, "{strangers}");
    }
}
