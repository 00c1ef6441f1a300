//! Shapes by name, as many as there are places.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::dialect::Dialect;
use super::entry::{Entry, LONGEST_ADDED};
use super::fingerprint::{Fingerprint, fingerprint};
use crate::histogram::layout::{Layout, nanos};

/// How many texts a shape may have that are known without reading them again.
const TEXTS_A_SHAPE: usize = 4;

thread_local! {
    /// Room for the shape of a statement that is read.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(super) struct Table {
    places: usize,
    /// Hashes texts of statements; random, so that no client can choose two texts with one hash.
    hasher: RandomState,
    shapes: RwLock<Shapes>,
    forgotten: AtomicU64,
    calls: AtomicU64,
    nanos: AtomicU64,
}

#[derive(Default)]
struct Shapes {
    entries: HashMap<Fingerprint, Arc<Entry>, RandomState>,
    /// Shapes by the hash of a text.
    known: HashMap<u64, Fingerprint, RandomState>,
}

impl Table {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            hasher: RandomState::default(),
            shapes: RwLock::default(),
            forgotten: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        }
    }

    /// The entry of a statement's shape, made where there is none.
    pub(super) fn entry(&self, sql: &str, dialect: Dialect, layout: &Layout) -> Arc<Entry> {
        let hash = self.hasher.hash_one((sql, dialect));
        {
            let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = shapes.known.get(&hash).and_then(|shape| shapes.entries.get(shape)) {
                return Arc::clone(entry);
            }
        }
        let read = |text: &mut String| {
            let shape = fingerprint(sql, dialect, text);
            self.insert(hash, shape, text, dialect, layout)
        };
        // A thread that is shutting down has no thread-locals any more.
        let entry = TEXT.try_with(|text| text.try_borrow_mut().ok().map(|mut text| read(&mut text)));
        entry.ok().flatten().unwrap_or_else(|| read(&mut String::new()))
    }

    fn insert(&self, hash: u64, shape: Fingerprint, text: &str, dialect: Dialect, layout: &Layout) -> Arc<Entry> {
        let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
        let Shapes { entries, known } = &mut *shapes;
        if known.len() >= self.places.saturating_mul(TEXTS_A_SHAPE) {
            known.clear(); // whatever comes again is read again
        }
        known.insert(hash, shape);
        if let Some(entry) = entries.get(&shape) {
            return Arc::clone(entry);
        }
        let mut weight = 0;
        if entries.len() >= self.places {
            let lightest =
                entries.values().min_by_key(|entry| entry.weight()).map(|entry| (entry.fingerprint(), entry.weight()));
            if let Some((lightest, its_weight)) = lightest {
                entries.remove(&lightest);
                weight = its_weight;
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
        }
        let entry = Arc::new(Entry::new(shape, text, dialect, weight, layout));
        entries.insert(shape, Arc::clone(&entry));
        entry
    }

    /// Counts a call of any shape.
    pub(super) fn add(&self, elapsed: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(elapsed.min(LONGEST_ADDED)), Ordering::Relaxed);
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.shapes.read().unwrap_or_else(PoisonError::into_inner).entries.values().cloned().collect()
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The time of all calls.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}
