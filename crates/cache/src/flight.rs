//! Loads under way: one table, so that misses on one key share one load.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::pin::pin;
#[cfg(feature = "redis")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::class::ClassId;
use crate::fence::Generation;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::read::Source;
use crate::slot::Slot;
use crate::text::Prehashed;

const SHARDS: usize = 64;

/// The types of a load's value and error: callers share a load only when both agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    value: TypeId,
    error: TypeId,
}

impl Kind {
    pub(crate) fn of<V: 'static, E: 'static>() -> Self {
        Self { value: TypeId::of::<V>(), error: TypeId::of::<E>() }
    }
}

/// How a load ended, for everyone who waited.
#[derive(Debug)]
pub(crate) enum Outcome {
    Loaded { slot: Slot, stored: bool, source: Source },
    Failed(Arc<dyn Any + Send + Sync>),
    Panicked,
    Aborted,
}

/// A load under way. It runs in a task of its own; callers only wait, and may leave.
#[derive(Debug)]
pub(crate) struct Flight {
    kind: Kind,
    /// The class it fills, which need not be that of everybody who waits.
    pub(crate) class: ClassId,
    /// When it started, in the order of invalidations.
    pub(crate) since: Generation,
    outcome: OnceLock<Outcome>,
    ended: Notify,
    /// How often others changed the key in L2 meanwhile, or this process itself.
    #[cfg(feature = "redis")]
    noticed: AtomicU64,
}

impl Flight {
    pub(crate) fn new(kind: Kind, class: ClassId, since: Generation) -> Arc<Self> {
        Arc::new(Self {
            kind,
            class,
            since,
            outcome: OnceLock::new(),
            ended: Notify::new(),
            #[cfg(feature = "redis")]
            noticed: AtomicU64::new(0),
        })
    }

    /// How many notices of a change of its key came since it started.
    #[cfg(feature = "redis")]
    pub(crate) fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }

    /// Publishes the outcome and wakes everyone. Only the first call counts.
    pub(crate) fn end(&self, outcome: Outcome) {
        // Refused only when there is one already.
        let _ = self.outcome.set(outcome);
        self.ended.notify_waiters();
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(&self) -> &Outcome {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Listen first, look second: an end between the two is not missed.
            ended.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            ended.await;
        }
    }
}

/// How a caller came in.
pub(crate) enum Entered<T> {
    /// The value was there after all.
    Found(T),
    /// Another caller's load is under way.
    Joined(Arc<Flight>),
    /// This caller must run the load.
    Started(Arc<Flight>),
}

type Shard = HashMap<Key, Vec<Arc<Flight>>, Prehashed>;

/// The loads under way, by key. A load that is no longer in the table may not fill the cache: this is the fence of
/// single keys, and a shard's lock is what orders fills and invalidations of its keys.
pub(crate) struct FlightTable(Box<[Mutex<Shard>]>);

impl FlightTable {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Joins a load of this kind that `admissible` accepts, or starts one, unless `recheck` finds the value. The
    /// second look happens under the lock under which fills are made, so no two loads run where one would do.
    pub(crate) fn enter<T>(
        &self,
        key: &Key,
        kind: Kind,
        recheck: impl FnOnce() -> Option<T>,
        admissible: impl Fn(&Flight) -> bool,
        start: impl FnOnce() -> Arc<Flight>,
    ) -> Entered<T> {
        let mut shard = self.shard(key);
        if let Some(found) = recheck() {
            return Entered::Found(found);
        }
        let flights = shard.entry(key.clone()).or_default();
        // What is not admissible started before an invalidation: nobody may join it, and it may not fill.
        flights.retain(|flight| admissible(flight));
        if let Some(flight) = flights.iter().find(|flight| flight.kind == kind) {
            return Entered::Joined(Arc::clone(flight));
        }
        let flight = start();
        flights.push(Arc::clone(&flight));
        Entered::Started(flight)
    }

    /// Enters a flight that nobody joins: a write, which may fill only if nothing else did since.
    pub(crate) fn begin(&self, key: &Key, flight: &Arc<Flight>) {
        self.shard(key).entry(key.clone()).or_default().push(Arc::clone(flight));
    }

    /// Fences every load and write of the key, then calls `change` under the same lock, with whether this one had not been fenced.
    pub(crate) fn finish<T>(&self, key: &Key, flight: &Arc<Flight>, change: impl FnOnce(bool) -> T) -> T {
        let mut shard = self.shard(key);
        let fenced = shard.remove(key).unwrap_or_default();
        change(fenced.iter().any(|other| Arc::ptr_eq(other, flight)))
    }

    /// Takes an ended load out of the table and calls `fill` under the lock, with whether it may still fill.
    pub(crate) fn leave<T>(&self, key: &Key, flight: &Arc<Flight>, fill: impl FnOnce(bool) -> T) -> T {
        let mut shard = self.shard(key);
        let mut present = false;
        if let Some(flights) = shard.get_mut(key) {
            let before = flights.len();
            flights.retain(|other| !Arc::ptr_eq(other, flight));
            present = flights.len() < before;
            if flights.is_empty() {
                shard.remove(key);
            }
        }
        fill(present)
    }

    /// Fences every load of the key, then calls `change` under the same lock.
    pub(crate) fn fence<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let mut shard = self.shard(key);
        shard.remove(key);
        change()
    }

    /// Tells every load of the key that it was changed in L2, then calls `look` under the lock under which fills are made.
    #[cfg(feature = "redis")]
    pub(crate) fn notice<T>(&self, key: &Key, look: impl FnOnce() -> T) -> T {
        let shard = self.shard(key);
        for flight in shard.get(key).into_iter().flatten() {
            flight.noticed.fetch_add(1, Ordering::SeqCst);
        }
        look()
    }

    /// Fences every load whose key matches.
    pub(crate) fn fence_matching(&self, pattern: &Pattern) {
        for shard in &self.0 {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|key, _| !pattern.matches(key.as_str()));
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let index = (key.0.hash() >> 24) as usize % SHARDS;
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
