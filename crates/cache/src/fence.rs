//! The order of loads and invalidations: what keeps a value that was read too early from being served.
//!
//! Every invalidation takes the next number of one counter. An entry carries the number that was current when its
//! load started; it is valid while nothing that covers it was invalidated under a later number. The reader compares,
//! so a fill that arrives late is harmless.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::class::ClassId;
use crate::tag::Tag;
use crate::tag_table::{Stamps, TagTable};

/// Fences of classes; classes beyond this many share one, which can only invalidate too much.
const CLASSES: usize = 256;

/// A number in the order of invalidations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

/// A counter on a cache line of its own: what invalidations write must not slow down what reads compare.
#[derive(Default)]
#[repr(align(128))]
struct Latest(AtomicU64);

/// The generations of everything that is invalidated in constant time.
pub(crate) struct Fence {
    latest: Latest,
    all: AtomicU64,
    classes: Box<[AtomicU64]>,
    tags: TagTable,
}

impl Fence {
    pub(crate) fn new() -> Self {
        Self {
            latest: Latest::default(),
            all: AtomicU64::new(0),
            classes: (0..CLASSES).map(|_| AtomicU64::new(0)).collect(),
            tags: TagTable::new(),
        }
    }

    /// The number to give to a load that starts now.
    pub(crate) fn now(&self) -> Generation {
        Generation(self.latest.0.load(Ordering::SeqCst))
    }

    pub(crate) fn invalidate_all(&self) {
        self.all.fetch_max(self.next(), Ordering::SeqCst);
    }

    pub(crate) fn invalidate_class(&self, class: ClassId) {
        self.classes[class.index() % CLASSES].fetch_max(self.next(), Ordering::SeqCst);
    }

    pub(crate) fn invalidate_tag(&self, tag: &Tag) {
        self.tags.invalidate(tag, || self.next());
    }

    /// The tags of an entry, in the form in which [`Fence::admits`] compares them.
    pub(crate) fn stamps(&self, tags: &[Tag]) -> Stamps {
        self.tags.stamps(tags)
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
