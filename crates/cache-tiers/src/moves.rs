//! Numbers of invalidations: a hit checks them in place of all generations that cover its entry.
//!
//! Everything, each class and each tag has a cell that counts its invalidations; many tags share
//! one cell. An entry knows its cells, and their sum when it was last found to be covered by no
//! invalidation. While the sum is the same, it still is not. If the sum differs, the
//! [fence](crate::fence), which is exact, is queried, and the new sum is kept.
//!
//! An invalidation first moves its generation in the fence and then counts here. A reader takes the
//! sum before it queries the fence. So a reader that kept a sum with an invalidation has seen its
//! generation. The cells hold counts and not the latest generation: of two invalidations that share
//! a cell, the one with the smaller number may arrive later, and the greatest number would hide it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::class_id::ClassId;
use crate::tag::Tag;

/// Fences of classes; classes beyond this many share one, which can only invalidate too much.
pub(crate) const CLASSES: usize = 256;

/// Number of tags with a cell of their own. Beyond these, an entry has the cell of all tags.
const TAGS: usize = 3;

/// Distance of cells that are written at different rates, so that they share no line.
const APART: usize = 16;
const EVERYTHING: usize = 0;
/// A cell that never counts, for entries that have fewer tags.
const NOTHING: usize = 1;
const FIRST_CLASS: usize = 2;
const ANY_TAG: usize = FIRST_CLASS + CLASSES + APART;
const FIRST_TAG: usize = ANY_TAG + APART;
/// Number of cells, 32 KiB in total.
const TAG_CELLS: usize = 4096;
const CELLS: usize = FIRST_TAG + TAG_CELLS;

/// The cells of an entry: that of its class, and those of its tags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells([u16; TAGS + 1]);

impl Cells {
    pub(crate) fn of(class: ClassId, tags: &[Tag]) -> Self {
        let mut cells = [NOTHING; TAGS + 1];
        cells[0] = of_class(class);
        if tags.len() > TAGS {
            cells[1] = ANY_TAG;
        } else {
            cells[1..].iter_mut().zip(tags).for_each(|(cell, tag)| *cell = of_tag(tag));
        }
        Self(cells.map(|cell| u16::try_from(cell).expect("there are fewer cells")))
    }
}

/// How many invalidations had been counted in an entry's cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(pub(crate) u64);

/// The cells.
pub(crate) struct Moves(Box<[AtomicU64]>);

impl Moves {
    pub(crate) fn new() -> Self {
        Self((0..CELLS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns how many were counted so far.
    #[inline]
    pub(crate) fn seen(&self, cells: Cells) -> Seen {
        // Each only grows, so two sums are equal only if no cell has changed.
        let count = |cell: usize| self.0[cell].load(Ordering::Acquire);
        Seen(cells.0.iter().fold(count(EVERYTHING), |sum, cell| sum.wrapping_add(count(usize::from(*cell)))))
    }

    pub(crate) fn everything(&self) {
        self.count(EVERYTHING);
    }

    pub(crate) fn class(&self, class: ClassId) {
        self.count(of_class(class));
    }

    pub(crate) fn tag(&self, tag: &Tag) {
        self.count(of_tag(tag));
        self.count(ANY_TAG);
    }

    fn count(&self, cell: usize) {
        self.0[cell].fetch_add(1, Ordering::SeqCst);
    }
}

fn of_class(class: ClassId) -> usize {
    FIRST_CLASS + class.index() % CLASSES
}

fn of_tag(tag: &Tag) -> usize {
    FIRST_TAG + (tag.hash() >> 20) as usize % TAG_CELLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_that_arrives_after_a_later_one_of_its_cell_still_counts() {
        // Both drew numbers, the second was counted first: a reader in between checks again.
        let moves = Moves::new();
        let tag = Tag::new("shared");
        let cells = [NOTHING, of_tag(&tag), NOTHING, NOTHING].map(|cell| u16::try_from(cell).unwrap());
        let cells = Cells(cells);
        moves.tag(&tag);
        let between = moves.seen(cells);
        moves.tag(&tag);
        assert_ne!(moves.seen(cells), between);
    }

    #[test]
    fn cells_of_different_kinds_lie_apart() {
        let kinds = [EVERYTHING, NOTHING, of_tag(&Tag::new("tag")), ANY_TAG, FIRST_CLASS, FIRST_CLASS + CLASSES - 1];
        for (index, cell) in kinds.iter().enumerate() {
            assert!(*cell < CELLS && !kinds[index + 1..].contains(cell));
        }
    }
}
