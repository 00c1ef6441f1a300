//! Loads under way: one table, so that misses on one key share one load.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::class::ClassId;
use crate::fence::Generation;
use crate::key::Key;
#[cfg(feature = "redis")]
use crate::l2::EntryId;
use crate::pattern::Pattern;
use crate::read::Source;
use crate::slot::Slot;
use crate::text::Prehashed;

const SHARDS: usize = 64;

/// Fenced loads below which those that ended are not worth a walk.
const PRUNE_FROM: usize = 64;

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
    Loaded {
        slot: Slot,
        stored: bool,
        source: Source,
        /// The notices of changes of the key that its flight had had when this was known to be what the key holds.
        noticed: u64,
    },
    /// There is no value, said the loader of a batch, or L2 where nobody loads.
    Absent,
    Failed(Arc<dyn Any + Send + Sync>),
    Panicked,
    Aborted,
    /// It took longer than it may.
    CutOff,
    /// There was no place for it among the loads that run at once.
    Refused,
}

impl Outcome {
    /// Whether it may be from before a change, given how many notices of changes had come.
    pub(crate) fn is_older_than(&self, heard: u64) -> bool {
        match self {
            Self::Loaded { noticed, .. } => *noticed < heard,
            Self::Absent => heard > 0,
            _ => false,
        }
    }
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
    /// A stale value for those who wait, unless something better comes in time.
    #[cfg(feature = "redis")]
    fallback: Mutex<Option<Outcome>>,
    ended: Notify,
    /// When its time is over, and how to stop it.
    limit: OnceLock<(Duration, AbortHandle)>,
    was_cut_off: AtomicBool,
    /// Whether it may run without a place of its own.
    is_exempt: AtomicBool,
    exempted: Notify,
    /// The loads that its loader waits for.
    awaits: Mutex<Vec<Arc<Flight>>>,
    /// The entry of L2 that it is to replace.
    #[cfg(feature = "redis")]
    past: OnceLock<EntryId>,
    /// Whether it waits for no load of another process.
    #[cfg(feature = "redis")]
    is_alone: AtomicBool,
    /// Whether L2 could not be asked.
    #[cfg(feature = "redis")]
    lacks_l2: AtomicBool,
    /// How often others changed the key in L2 meanwhile, or this process itself.
    noticed: AtomicU64,
}

impl Flight {
    pub(crate) fn new(kind: Kind, class: ClassId, since: Generation) -> Arc<Self> {
        Arc::new(Self {
            kind,
            class,
            since,
            outcome: OnceLock::new(),
            #[cfg(feature = "redis")]
            fallback: Mutex::default(),
            ended: Notify::new(),
            limit: OnceLock::new(),
            was_cut_off: AtomicBool::new(false),
            is_exempt: AtomicBool::new(false),
            exempted: Notify::new(),
            awaits: Mutex::default(),
            #[cfg(feature = "redis")]
            past: OnceLock::new(),
            #[cfg(feature = "redis")]
            is_alone: AtomicBool::new(false),
            #[cfg(feature = "redis")]
            lacks_l2: AtomicBool::new(false),
            noticed: AtomicU64::new(0),
        })
    }

    /// Bounds the load: from `overdue_at` on it is to be stopped.
    pub(crate) fn bound(&self, overdue_at: Duration, abort: AbortHandle) {
        // Bounded once, when its task is made.
        let _ = self.limit.set((overdue_at, abort));
    }

    /// Ends it for all who wait, and stops its task where that can be stopped.
    fn cut_off(&self) {
        self.fall_back();
        self.was_cut_off.store(true, Ordering::SeqCst);
        self.end(Outcome::CutOff);
        if let Some((_, abort)) = self.limit.get() {
            abort.abort();
        }
    }

    pub(crate) fn was_cut_off(&self) -> bool {
        self.was_cut_off.load(Ordering::SeqCst)
    }

    /// Lets it run without a place of its own: a load that has one waits for it.
    pub(crate) fn exempt(&self) {
        self.is_exempt.store(true, Ordering::SeqCst);
        // Kept for a task that does not listen yet.
        self.exempted.notify_one();
    }

    pub(crate) fn is_exempt(&self) -> bool {
        self.is_exempt.load(Ordering::SeqCst)
    }

    /// Waits until it is exempt.
    pub(crate) async fn exempted(&self) {
        while !self.is_exempt() {
            self.exempted.notified().await;
        }
    }

    pub(crate) fn awaits(&self) -> MutexGuard<'_, Vec<Arc<Self>>> {
        self.awaits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it one that replaces this entry of L2, though that is still good.
    #[cfg(feature = "redis")]
    pub(crate) fn replaces(&self, entry: EntryId) {
        // Said once, when the flight is made.
        let _ = self.past.set(entry);
    }

    /// The entry of L2 that it is to replace.
    #[cfg(feature = "redis")]
    pub(crate) fn past(&self) -> Option<EntryId> {
        self.past.get().copied()
    }

    /// Makes it one that waits for no load of another process.
    #[cfg(all(feature = "redis", feature = "tower"))]
    pub(crate) fn goes_alone(&self) {
        self.is_alone.store(true, Ordering::SeqCst);
    }

    /// Whether it waits for no load of another process.
    #[cfg(feature = "redis")]
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::SeqCst)
    }

    /// Notes that L2 could not be asked, so that nobody knows what it has.
    #[cfg(feature = "redis")]
    pub(crate) fn lacks_l2(&self) {
        self.lacks_l2.store(true, Ordering::SeqCst);
    }

    /// Whether L2 could not be asked, though there is one.
    #[cfg(all(feature = "redis", feature = "sessions"))]
    pub(crate) fn is_without_l2(&self) -> bool {
        self.lacks_l2.load(Ordering::SeqCst)
    }

    /// How many notices of a change of its key came since it started.
    pub(crate) fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }

    /// Remembers a stale value that is better than none.
    #[cfg(feature = "redis")]
    pub(crate) fn has_fallback(&self, outcome: Outcome) {
        *self.fallback() = Some(outcome);
    }

    /// Goes without its stale value.
    #[cfg(feature = "redis")]
    pub(crate) fn forget_fallback(&self) {
        let outdated = self.fallback().take();
        drop(outdated); // here, not under the lock
    }

    /// The stale value that nobody was given yet.
    #[cfg(feature = "redis")]
    fn fallback_slot(&self) -> Option<Slot> {
        match &*self.fallback() {
            Some(Outcome::Loaded { slot, .. }) => Some(slot.clone()),
            _ => None,
        }
    }

    #[cfg(feature = "redis")]
    fn fallback(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a stale value to everyone who waits, if there is one and nothing else has come. The load goes on.
    pub(crate) fn fall_back(&self) {
        #[cfg(feature = "redis")]
        {
            let outcome = self.fallback().take();
            if let Some(outcome) = outcome {
                self.end(outcome);
            }
        }
    }

    /// Whether a value that it brought already carries a tag that was invalidated since it started, or may be from before a
    /// change of the key that was heard of since.
    fn is_overtaken(&self) -> bool {
        let Some(outcome) = self.outcome.get() else { return false };
        let is_by_tag = matches!(outcome, Outcome::Loaded { slot, .. } if !slot.stamps.admit(self.since));
        is_by_tag || outcome.is_older_than(self.noticed())
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
pub(crate) struct FlightTable {
    shards: Box<[Mutex<Shard>]>,
    /// Those that run on, though they are no longer in the table.
    fenced: Mutex<Vec<Weak<Flight>>>,
}

impl FlightTable {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), fenced: Mutex::default() }
    }

    /// Joins a load of this kind that `admissible` and `is_joinable` accept, or starts one, unless `recheck` finds the
    /// value. The second look happens under the lock under which fills are made, so no two loads run where one would do.
    pub(crate) fn enter<T>(
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
        // What is not admissible started before an invalidation: nobody may join it, and it may not fill.
        let fenced: Vec<_> = flights.extract_if(.., |flight| !admissible(flight) || flight.is_overtaken()).collect();
        self.run_on(fenced);
        if let Some(flight) = flights.iter().rfind(|flight| flight.kind == kind && is_joinable(flight)) {
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
        let mut fenced = shard.remove(key).unwrap_or_default();
        let before = fenced.len();
        fenced.retain(|other| !Arc::ptr_eq(other, flight));
        let was_present = fenced.len() < before;
        self.run_on(fenced);
        change(was_present)
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

    /// Calls `fill` under the lock, with whether the load, which goes on, may fill.
    #[cfg(feature = "redis")]
    pub(crate) fn amid<T>(&self, key: &Key, flight: &Arc<Flight>, fill: impl FnOnce(bool) -> T) -> T {
        let shard = self.shard(key);
        let may_fill = shard.get(key).is_some_and(|flights| flights.iter().any(|other| Arc::ptr_eq(other, flight)));
        fill(may_fill)
    }

    /// Fences every load of the key, then calls `change` under the same lock.
    pub(crate) fn fence<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let mut shard = self.shard(key);
        self.run_on(shard.remove(key).into_iter().flatten());
        change()
    }

    /// Calls `change` under the lock under which fills of the key are made.
    pub(crate) fn hold<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let _shard = self.shard(key);
        change()
    }

    /// Ends the loads whose time is over; tells when that of the next one is.
    pub(crate) fn cut_off(&self, now: Duration) -> Option<Duration> {
        let (mut overdue, mut next) = (Vec::new(), None::<Duration>);
        let mut is_over = |flight: &Arc<Flight>| {
            // One without a limit is about to get it, and rings then.
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
        for flight in overdue {
            flight.cut_off();
        }
        next
    }

    /// Keeps hold of loads that are no longer in the table, so that they too are ended in time.
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

    /// Tells every load of the key that it was changed in L2, then calls `look` under the lock under which fills are made.
    /// Returns the loads with a stale value that may be from before.
    #[cfg(feature = "redis")]
    pub(crate) fn notice<T>(&self, key: &Key, look: impl FnOnce() -> T) -> (T, Vec<(Arc<Flight>, Slot)>) {
        let shard = self.shard(key);
        let mut stale = Vec::new();
        for flight in shard.get(key).into_iter().flatten() {
            flight.noticed.fetch_add(1, Ordering::SeqCst);
            stale.extend(flight.fallback_slot().map(|slot| (Arc::clone(flight), slot)));
        }
        (look(), stale)
    }

    /// Fences every load whose key matches.
    pub(crate) fn fence_matching(&self, pattern: &Pattern) {
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
