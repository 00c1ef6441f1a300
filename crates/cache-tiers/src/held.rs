//! How the index holds an entry: what a hit reads is in two cache lines, the rest behind a pointer.
//!
//! In a cache that outgrew the processor's, a hit takes as long as the lines that it must wait for.
//! `quick_cache` copies the value that it finds and leaves the key where it is. So the data that a
//! hit needs is the value. All other data is with the key, and not even its reference count is
//! touched. A caller that needs it too passes a query that copies it when it meets the key.

use std::borrow::Borrow;
use std::cell::{Cell, OnceCell};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Equivalent;

use crate::key::Key;
use crate::moves::{Cells, Seen};
use crate::slot::{Anything, Calm, Slot, Terms};

/// The key of an entry, with the data that hits do not need.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: Key,
    pub(crate) terms: Arc<Terms>,
    /// No invalidation covers the entry up to this count.
    seen: AtomicU64,
}

impl Held {
    pub(crate) fn new(key: Key, slot: &Slot) -> Self {
        Self { key, terms: Arc::clone(slot.terms()), seen: AtomicU64::new(slot.stamps.seen().0) }
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        let seen = AtomicU64::new(self.seen.load(Ordering::Acquire));
        Self { key: self.key.clone(), terms: Arc::clone(&self.terms), seen }
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Borrow<Key> for Held {
    fn borrow(&self) -> &Key {
        &self.key
    }
}

/// Data that a hit copies.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) value: Anything,
    pub(crate) calm: Calm,
    /// Cells to check for invalidations.
    pub(crate) cells: Cells,
}

impl Hit {
    pub(crate) fn new(slot: &Slot) -> Self {
        Self { value: Arc::clone(&slot.value), calm: slot.times.calm(), cells: slot.stamps.cells() }
    }
}

/// Query for a hit.
pub(crate) struct ForHit<'a> {
    key: &'a Key,
    seen: Cell<u64>,
}

impl<'a> ForHit<'a> {
    pub(crate) fn new(key: &'a Key) -> Self {
        Self { key, seen: Cell::new(0) }
    }

    /// Returns the count up to which no invalidation covers the entry.
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.seen.get())
    }
}

impl Hash for ForHit<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Equivalent<Held> for ForHit<'_> {
    fn equivalent(&self, held: &Held) -> bool {
        let is_it = *self.key == held.key;
        if is_it {
            self.seen.set(held.seen.load(Ordering::Acquire));
        }
        is_it
    }
}

/// Query for all that is held.
pub(crate) struct ForAll<'a> {
    key: &'a Key,
    terms: OnceCell<Arc<Terms>>,
}

impl<'a> ForAll<'a> {
    pub(crate) fn new(key: &'a Key) -> Self {
        Self { key, terms: OnceCell::new() }
    }

    /// Returns the slot that belongs to the hit.
    pub(crate) fn with(self, hit: Hit) -> Option<Slot> {
        Some(Slot::of(hit.value, self.terms.into_inner()?))
    }
}

impl Hash for ForAll<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Equivalent<Held> for ForAll<'_> {
    fn equivalent(&self, held: &Held) -> bool {
        // A key is in the index once, so this runs once.
        let is_it = *self.key == held.key;
        is_it && self.terms.set(Arc::clone(&held.terms)).is_ok()
    }
}

/// Query for the entry of this very fill.
pub(crate) struct SameFill<'a> {
    pub(crate) key: &'a Key,
    pub(crate) slot: &'a Slot,
}

impl Hash for SameFill<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Equivalent<Held> for SameFill<'_> {
    fn equivalent(&self, held: &Held) -> bool {
        *self.key == held.key && self.slot.has_terms_like(&held.terms)
    }
}

/// Notes, if the terms are unchanged, that no invalidation up to there covers the entry.
pub(crate) struct Noting<'a> {
    pub(crate) key: &'a Key,
    pub(crate) slot: &'a Slot,
    pub(crate) seen: Seen,
}

impl Hash for Noting<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Equivalent<Held> for Noting<'_> {
    fn equivalent(&self, held: &Held) -> bool {
        let is_it = *self.key == held.key;
        if is_it && Arc::ptr_eq(self.slot.terms(), &held.terms) {
            held.seen.store(self.seen.0, Ordering::Release);
        }
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_fits_into_two_lines() {
        // With the index's own data: usage and neighbours.
        assert!(size_of::<Held>() + size_of::<Hit>() + 16 <= 96);
    }
}
