//! An upper bound of the recent count of each key: a count-min sketch over two panes of time.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of the sketch. An estimate is the minimum over this number of cells.
pub(super) const ROWS: usize = 4;
/// Cells per row: 2¹⁶, so that one 64-bit hash selects a cell of each row independently.
pub(super) const WIDTH: usize = 1 << (u64::BITS as usize / ROWS);

/// Counts any number of keys in fixed memory, without locks.
///
/// Time is divided into panes. A cell holds its counts of the current and the previous pane. It
/// moves to a new pane with its next update, so no task has to clean the memory.
///
/// An update is conservative (Estan and Varghese, 2002): it raises only cells that are below the
/// key's new estimate.
pub(super) struct Sketch {
    cells: Box<[AtomicU64]>,
}

#[derive(Clone, Copy)]
pub(super) struct Spot([usize; ROWS]);

/// 16 bits for the pane's number, 24 bits each for the counts of the previous and current pane.
///
/// The pane's number wraps around after 65,536 panes. A cell without an update for exactly that
/// time counts too much, and its keys are then counted exactly without need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    pane: u16,
    before: u32,
    present: u32,
}

const COUNT_BITS: u32 = 24;
/// Maximum count of a cell. Counts saturate.
pub(super) const MAX_COUNT: u32 = (1 << COUNT_BITS) - 1;

impl Cell {
    fn unpacked(bits: u64) -> Self {
        let count = |shift: u32| u32::try_from((bits >> shift) & u64::from(MAX_COUNT)).unwrap_or(MAX_COUNT);
        let pane = u16::try_from(bits >> (2 * COUNT_BITS)).unwrap_or(u16::MAX);
        Self { pane, before: count(COUNT_BITS), present: count(0) }
    }

    fn packed(self) -> u64 {
        u64::from(self.pane) << (2 * COUNT_BITS) | u64::from(self.before) << COUNT_BITS | u64::from(self.present)
    }

    fn at(self, pane: u16) -> Self {
        match pane.wrapping_sub(self.pane) {
            0 => self,
            1 => Self { pane, before: self.present, present: 0 },
            // Another thread read the clock slightly later and updated the cell first.
            u16::MAX => self,
            _ => Self { pane, before: 0, present: 0 },
        }
    }
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { cells: (0..ROWS * WIDTH).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn spot(hash: u64) -> Spot {
        let mask = WIDTH as u64 - 1;
        let width = WIDTH.trailing_zeros() as usize;
        Spot(array::from_fn(|row| {
            let column = usize::try_from((hash >> (row * width)) & mask).unwrap_or(0);
            row * WIDTH + column
        }))
    }

    /// Counts `cost` in `pane`. Returns an upper bound of the key's count in this pane and the
    /// previous one. The result is never below the true count, up to the maximum count, even with
    /// concurrent updates.
    pub(super) fn add(&self, spot: Spot, pane: u16, cost: u64) -> u64 {
        let cost = u32::try_from(cost).unwrap_or(MAX_COUNT);
        // No update is lost: consider two updates of one key that both succeed. Each has raised all
        // cells below its target, each from the exact value that it read. A cell only grows, so one
        // of the two read the result of the other and added to it. If another update interferes,
        // all cells are read again.
        'anew: loop {
            let seen: [u64; ROWS] = array::from_fn(|row| self.cells[spot.0[row]].load(Ordering::Relaxed));
            let cells = seen.map(|bits| Cell::unpacked(bits).at(pane));
            let least = cells.iter().map(|cell| cell.present).min().unwrap_or(0);
            let target = least.saturating_add(cost).min(MAX_COUNT);
            for (row, cell) in cells.into_iter().enumerate() {
                let raised = Cell { present: cell.present.max(target), ..cell }.packed();
                if raised == seen[row] {
                    continue;
                }
                let (at, seen) = (&self.cells[spot.0[row]], seen[row]);
                if at.compare_exchange(seen, raised, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    continue 'anew;
                }
            }
            return cells.iter().map(|cell| both(cell.before, cell.present.max(target))).min().unwrap_or(0);
        }
    }

    /// The value that [`add`](Self::add) with a cost of zero would return.
    pub(super) fn estimate(&self, spot: Spot, pane: u16) -> u64 {
        let counts = spot.0.map(|index| {
            let cell = Cell::unpacked(self.cells[index].load(Ordering::Relaxed)).at(pane);
            both(cell.before, cell.present)
        });
        counts.into_iter().min().unwrap_or(0)
    }
}

fn both(before: u32, present: u32) -> u64 {
    u64::from(before) + u64::from(present)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// Uses few cells, so that keys share them.
    fn crowded(key: u64) -> Spot {
        Sketch::spot((key % 7) | (key % 5) << 16 | (key % 3) << 32 | (key % 2) << 48)
    }

    #[test]
    fn a_cell_is_what_was_packed() {
        for cell in [
            Cell { pane: 0, before: 0, present: 0 },
            Cell { pane: u16::MAX, before: MAX_COUNT, present: 0 },
            Cell { pane: 7, before: 1, present: MAX_COUNT },
        ] {
            assert_eq!(Cell::unpacked(cell.packed()), cell);
        }
    }

    #[test]
    fn counts_this_pane_and_the_one_before() {
        let (sketch, spot) = (Sketch::new(), Sketch::spot(42));
        assert_eq!(sketch.add(spot, 9, 5), 5);
        assert_eq!(sketch.add(spot, 10, 2), 7);
        assert_eq!(sketch.estimate(spot, 10), 7);
        assert_eq!(sketch.estimate(spot, 11), 2);
        assert_eq!(sketch.add(spot, 12, 1), 1);
    }

    #[test]
    fn a_thread_that_is_late_counts_in_the_present() {
        let (sketch, spot) = (Sketch::new(), Sketch::spot(42));
        sketch.add(spot, 10, 2);
        assert_eq!(sketch.add(spot, 9, 1), 3);
        assert_eq!(sketch.estimate(spot, 10), 3);
    }

    #[test]
    fn a_clock_set_back_begins_afresh() {
        let (sketch, spot) = (Sketch::new(), Sketch::spot(42));
        sketch.add(spot, 1_000, 100);
        assert_eq!(sketch.add(spot, 10, 1), 1);
    }

    #[test]
    fn stays_at_the_greatest_count() {
        let (sketch, spot) = (Sketch::new(), Sketch::spot(42));
        let greatest = u64::from(MAX_COUNT);
        assert_eq!(sketch.add(spot, 3, u64::MAX), greatest);
        assert_eq!(sketch.add(spot, 3, 1), greatest);
        assert_eq!(sketch.add(spot, 4, u64::MAX), 2 * greatest);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// A key is never undercounted, whichever keys share its cells.
        #[test]
        fn never_less_than_the_truth(trace in prop::collection::vec((0_u64..210, 0_u16..2, 0_u64..9), 1..400)) {
            let sketch = Sketch::new();
            let mut pane = 0_u16;
            let mut truth: HashMap<(u64, u16), u64> = HashMap::new();
            for (key, turn, cost) in trace {
                pane += u16::from(turn == 1 && cost == 0);
                *truth.entry((key, pane)).or_default() += cost;
                let before = pane.checked_sub(1).and_then(|before| truth.get(&(key, before))).copied().unwrap_or(0);
                prop_assert!(sketch.add(crowded(key), pane, cost) >= truth[&(key, pane)] + before);
            }
        }
    }

    /// The same holds if threads count the same keys at once: no update is lost.
    #[test]
    fn never_less_than_the_truth_from_many_threads() {
        const EACH: u64 = 20_000;
        let sketch = Sketch::new();
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                let sketch = &sketch;
                scope.spawn(move || {
                    for step in 0..EACH {
                        sketch.add(crowded(step % 3), 5, 1);
                        sketch.add(crowded(100 + thread * 7 + step % 11), 5, 1);
                    }
                });
            }
        });
        for key in 0..3 {
            let truth = 4 * (EACH / 3);
            assert!(sketch.estimate(crowded(key), 5) >= truth, "key {key}");
        }
    }

    /// The bound in the limiter's documentation: an error above `e / width` of the total count has
    /// a probability of at most `e^-rows`.
    #[test]
    fn errs_no_more_than_promised() {
        let sketch = Sketch::new();
        let mix = |key: u64| {
            (key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
        };
        let keys = 300_000_u64;
        for key in 0..keys {
            sketch.add(Sketch::spot(mix(key)), 1, 1);
        }
        let allowed = 1 + keys * 272 / 100 / WIDTH as u64;
        let above = (0..keys).filter(|key| sketch.estimate(Sketch::spot(mix(*key)), 1) > allowed).count();
        assert!(above as u64 * 1_000 <= keys * 19, "{above} of {keys} keys are more than {allowed}");
    }
}
