//! The order of loads and invalidations, which keeps a value that was read too early from readers.
//!
//! Every invalidation takes the next number of one counter. An entry carries the number that was
//! current when its load started. It is valid while no scope that covers it was invalidated under a
//! later number. The reader compares, so a fill that arrives late is harmless.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::class_id::ClassId;
use crate::generation::Generation;
use crate::moves::{CLASSES, Cells, Moves, Seen};
use crate::tag::Tag;
use crate::tag_table::{Records, TagTable};

/// A counter on its own cache line: invalidations must not slow down readers' comparisons.
#[derive(Default)]
#[repr(align(128))]
struct Latest(AtomicU64);

/// The scopes that cover an entry, in the forms in which they are compared.
#[derive(Debug, Clone)]
pub struct Stamps {
    records: Records,
    cells: Cells,
    /// Counted before any comparison.
    seen: Seen,
}

impl Stamps {
    /// The tags themselves.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.records.tags()
    }

    /// Whether none of the tags was invalidated since.
    pub fn admit(&self, since: Generation) -> bool {
        self.records.admit(since)
    }

    /// Returns the cells that a hit reads.
    pub(crate) fn cells(&self) -> Cells {
        self.cells
    }

    /// Returns the count of these cells when the stamps were made.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }
}

/// The generations of everything that is invalidated in constant time.
pub struct Fence {
    latest: Latest,
    all: AtomicU64,
    classes: Box<[AtomicU64]>,
    tags: TagTable,
    moves: Moves,
}

impl Fence {
    pub(crate) fn new() -> Self {
        Self {
            latest: Latest::default(),
            all: AtomicU64::new(0),
            classes: (0..CLASSES).map(|_| AtomicU64::new(0)).collect(),
            tags: TagTable::new(),
            moves: Moves::new(),
        }
    }

    /// Returns the number for a load that starts now.
    pub fn now(&self) -> Generation {
        Generation(self.latest.0.load(Ordering::SeqCst))
    }

    pub(crate) fn invalidate_all(&self) {
        self.all.fetch_max(self.next(), Ordering::SeqCst);
        self.moves.everything();
    }

    pub(crate) fn invalidate_class(&self, class: ClassId) {
        self.classes[class.index() % CLASSES].fetch_max(self.next(), Ordering::SeqCst);
        self.moves.class(class);
    }

    pub(crate) fn invalidate_tag(&self, tag: &Tag) {
        self.tags.invalidate(tag, || self.next());
        self.moves.tag(tag);
    }

    /// Returns the stamps of an entry of this class with these tags.
    pub(crate) fn stamps(&self, class: ClassId, tags: &[Tag]) -> Stamps {
        let cells = Cells::of(class, tags);
        let seen = self.moves.seen(cells);
        Stamps { records: self.tags.records(tags), cells, seen }
    }

    /// Returns the number of invalidations counted so far in the cells that a hit reads. Call it
    /// before [`Fence::admits`]: while it stays the same, a positive answer of that stays valid.
    #[inline]
    pub(crate) fn seen(&self, cells: Cells) -> Seen {
        self.moves.seen(cells)
    }

    /// Whether neither everything nor this class was invalidated since.
    pub fn admits_class(&self, class: ClassId, since: Generation) -> bool {
        self.all.load(Ordering::Acquire) <= since.0
            && self.classes[class.index() % CLASSES].load(Ordering::Acquire) <= since.0
    }

    /// Whether no scope of the entry was invalidated since its load started.
    pub(crate) fn admits(&self, class: ClassId, stamps: &Stamps, since: Generation) -> bool {
        self.admits_class(class, since) && stamps.admit(since)
    }

    /// Forgets tags that no entry carries.
    pub(crate) fn prune(&self) {
        self.tags.prune();
    }

    fn next(&self) -> u64 {
        self.latest.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}
