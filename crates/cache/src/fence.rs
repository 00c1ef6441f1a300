//! The order of loads and invalidations: what keeps a value that was read too early from being served.
//!
//! Every invalidation takes the next number of one counter. An entry carries the number that was current when its
//! load started; it is valid while nothing that covers it was invalidated under a later number. The reader compares,
//! so a fill that arrives late is harmless.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::class_id::ClassId;
use crate::generation::Generation;
use crate::moves::{CLASSES, Cells, Moves, Seen};
use crate::tag::Tag;
use crate::tag_table::{Records, TagTable};

/// A counter on a cache line of its own: what invalidations write must not slow down what reads compare.
#[derive(Default)]
#[repr(align(128))]
struct Latest(AtomicU64);

/// What covers an entry, in the forms in which it is compared.
#[derive(Debug, Clone)]
pub(crate) struct Stamps {
    records: Records,
    cells: Cells,
    /// Counted before anything was compared.
    seen: Seen,
}

impl Stamps {
    /// The tags themselves.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.records.tags()
    }

    /// Whether none of the tags was invalidated since.
    pub(crate) fn admit(&self, since: Generation) -> bool {
        self.records.admit(since)
    }

    /// Where a hit looks.
    pub(crate) fn cells(&self) -> Cells {
        self.cells
    }

    /// What had been counted there when these were made.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }
}

/// The generations of everything that is invalidated in constant time.
pub(crate) struct Fence {
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

    /// The number to give to a load that starts now.
    pub(crate) fn now(&self) -> Generation {
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

    /// What covers an entry of this class with these tags.
    pub(crate) fn stamps(&self, class: ClassId, tags: &[Tag]) -> Stamps {
        let cells = Cells::of(class, tags);
        let seen = self.moves.seen(cells);
        Stamps { records: self.tags.records(tags), cells, seen }
    }

    /// How many invalidations were counted so far where a hit looks. To be asked before [`Fence::admits`]: while it stays the
    /// same, so does that answer, if it was yes.
    #[inline]
    pub(crate) fn seen(&self, cells: Cells) -> Seen {
        self.moves.seen(cells)
    }

    /// Whether neither everything nor this class was invalidated since.
    pub(crate) fn admits_class(&self, class: ClassId, since: Generation) -> bool {
        self.all.load(Ordering::Acquire) <= since.0
            && self.classes[class.index() % CLASSES].load(Ordering::Acquire) <= since.0
    }

    /// Whether nothing that covers the entry was invalidated since its load started.
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
