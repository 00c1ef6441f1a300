//! Loads in progress: one table, so that misses on one key share one load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{Flight, Kind};
use crate::key::Key;
use crate::pattern::Pattern;
use crate::slot::Slot;
use crate::text::Prehashed;

const SHARDS: usize = 64;

/// Number of fenced loads below which a walk to remove ended ones is not worth it.
const PRUNE_FROM: usize = 64;

/// Result of a caller's entry.
pub enum Entered<T> {
    /// The value existed after all.
    Found(T),
    /// Another caller's load is in progress.
    Joined(Arc<Flight>),
    /// This caller must run the load.
    Started(Arc<Flight>),
}

type Shard = HashMap<Key, Vec<Arc<Flight>>, Prehashed>;

/// The loads in progress, by key. A load that is no longer in the table may not fill the cache:
/// this is the fence of single keys. The lock of a shard orders the fills and invalidations of its
/// keys.
pub struct FlightTable {
    shards: Box<[Mutex<Shard>]>,
    /// Flights that continue although they are no longer in the table.
    fenced: Mutex<Vec<Weak<Flight>>>,
}

impl FlightTable {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), fenced: Mutex::default() }
    }

    /// Joins a load of this kind that `admissible` and `is_joinable` accept, or starts one, unless
    /// `recheck` finds the value. `recheck` runs under the lock under which fills are made, so two
    /// loads never run where one is enough.
    pub fn enter<T>(
        &self,
        key: &Key,
        kind: Kind,
        recheck: impl FnOnce() -> Option<T>,
        admissible: impl Fn(&Flight) -> bool,
        is_joinable: impl Fn(&Flight) -> bool,
        start: impl FnOnce() -> Arc<Flight>,
    ) -> Entered<T> {
        let mut shard = self.shard(key);
        if let Some(found) = recheck() {
            return Entered::Found(found);
        }
        let flights = shard.entry(key.clone()).or_default();
        // An inadmissible load started before an invalidation: it may not be joined or fill.
        let fenced: Vec<_> = flights.extract_if(.., |flight| !admissible(flight) || flight.is_overtaken()).collect();
        self.run_on(fenced);
        if let Some(flight) = flights.iter().rfind(|flight| flight.kind == kind && is_joinable(flight)) {
            return Entered::Joined(Arc::clone(flight));
        }
        let flight = start();
        flights.push(Arc::clone(&flight));
        Entered::Started(flight)
    }

    /// Enters a flight that no caller joins: a write, which fills only if no other flight has.
    pub fn begin(&self, key: &Key, flight: &Arc<Flight>) {
        self.shard(key).entry(key.clone()).or_default().push(Arc::clone(flight));
    }

    /// Fences every load and write of the key, then calls `change` under the same lock. Its
    /// argument is whether this flight had not been fenced.
    pub fn finish<T>(&self, key: &Key, flight: &Arc<Flight>, change: impl FnOnce(bool) -> T) -> T {
        let mut shard = self.shard(key);
        let mut fenced = shard.remove(key).unwrap_or_default();
        let before = fenced.len();
        fenced.retain(|other| !Arc::ptr_eq(other, flight));
        let was_present = fenced.len() < before;
        self.run_on(fenced);
        change(was_present)
    }

    /// Removes an ended load from the table and calls `fill` under the lock. The argument is
    /// whether the load may still fill.
    pub fn leave<T>(&self, key: &Key, flight: &Arc<Flight>, fill: impl FnOnce(bool) -> T) -> T {
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

    /// Calls `fill` under the lock, with whether the load, which continues, may fill.
    pub(crate) fn amid<T>(&self, key: &Key, flight: &Arc<Flight>, fill: impl FnOnce(bool) -> T) -> T {
        let shard = self.shard(key);
        let may_fill = shard.get(key).is_some_and(|flights| flights.iter().any(|other| Arc::ptr_eq(other, flight)));
        fill(may_fill)
    }

    /// Fences every load of the key, then calls `change` under the same lock.
    pub fn fence<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let mut shard = self.shard(key);
        self.run_on(shard.remove(key).into_iter().flatten());
        change()
    }

    /// Calls `change` under the lock under which fills of the key are made.
    pub(crate) fn hold<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let _shard = self.shard(key);
        change()
    }

    /// Ends the loads whose time is over. Returns when that of the next one is.
    pub(crate) fn cut_off(&self, now: Duration) -> Option<Duration> {
        let (mut overdue, mut next) = (Vec::new(), None::<Duration>);
        let mut is_over = |flight: &Arc<Flight>| {
            // A load without a limit is about to get it, and rings then.
            let Some((at, _)) = flight.limit.get() else { return false };
            if *at > now {
                next = Some(next.map_or(*at, |next| next.min(*at)));
                return false;
            }
            overdue.push(Arc::clone(flight));
            true
        };
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, flights| {
                flights.retain(|flight| !is_over(flight));
                !flights.is_empty()
            });
        }
        self.fenced().retain(|flight| flight.upgrade().is_some_and(|flight| !is_over(&flight)));
        // All flights are cut off before any task is stopped. A task that loads for several flights
        // would end the others as aborted.
        overdue.iter().for_each(|flight| flight.cut_off());
        overdue.iter().for_each(|flight| flight.stop());
        next
    }

    /// Keeps loads that are no longer in the table, so that they too are ended in time.
    fn run_on(&self, flights: impl IntoIterator<Item = Arc<Flight>>) {
        let mut flights = flights.into_iter().peekable();
        if flights.peek().is_none() {
            return;
        }
        let mut fenced = self.fenced();
        if fenced.len() >= PRUNE_FROM && fenced.len() == fenced.capacity() {
            fenced.retain(|flight| flight.strong_count() > 0);
        }
        fenced.extend(flights.map(|flight| Arc::downgrade(&flight)));
    }

    fn fenced(&self) -> MutexGuard<'_, Vec<Weak<Flight>>> {
        self.fenced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies every load of the key that the key was changed in L2, then calls `look` under the
    /// lock under which fills are made. Returns the loads whose stale value may be older.
    pub(crate) fn notice<T>(&self, key: &Key, look: impl FnOnce() -> T) -> (T, Vec<(Arc<Flight>, Slot)>) {
        let shard = self.shard(key);
        let mut stale = Vec::new();
        for flight in shard.get(key).into_iter().flatten() {
            flight.inquiry.notice();
            stale.extend(flight.fallback_slot().map(|slot| (Arc::clone(flight), slot)));
        }
        (look(), stale)
    }

    /// Fences every load whose key matches.
    pub fn fence_matching(&self, pattern: &Pattern) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let fenced = shard.extract_if(|key, _| pattern.matches(key.as_str()));
            self.run_on(fenced.flat_map(|(_, flights)| flights));
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let index = (key.0.hash() >> 24) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
