//! Loads: joined or started by callers, run in tasks of their own, landed exactly once.

mod landing;
mod lead;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::Instrument;

use self::landing::PAUSE;
use crate::handle::TypedCache;
use tidegate_cache_tiers::{
    Fill, Key, LoadError, Read, Source,
    bring::{Halted, L2Left},
    class::Count,
    flight::{Entered, Flight, Kind, Outcome},
    form::open,
    generation::Generation,
    nested,
    slot::{Slot, State},
};

pub(crate) use self::landing::{Ended, Landing};

/// Answer to a reader that found nothing, if another caller stored a value meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// Any servable value.
    Stale,
    /// Only a fresh value. A stale value of L2 is returned only if the load fails, as
    /// [`Source::Stale`]. This needs a class whose soft time-out is as long as its loads.
    #[cfg(feature = "tower")]
    Fresh,
    /// Like `Fresh`, but the load waits for no other load, in this process or elsewhere. No other
    /// caller waits for it either, if nothing else is loaded with the type of its error.
    #[cfg(feature = "tower")]
    FreshAlone,
}

impl Enough {
    fn joins(self) -> bool {
        #[cfg(feature = "tower")]
        return self != Self::FreshAlone;
        #[cfg(not(feature = "tower"))]
        true
    }
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The slow path of `fetch`. Joins or starts a load, within a reader's time-out.
    pub(crate) async fn load<E, F, Fut>(&self, key: &Key, enough: Enough, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        // Boxed, so that the size of a caller's future does not depend on that of a load.
        let load = self.load_or_join(&runtime, key, enough, loader).boxed();
        let Some(wait) = self.class.ttl.hard() else { return load.await };
        timeout(wait, load).await.unwrap_or_else(|_| {
            self.class.counters.add(Count::TimedOut);
            Err(LoadError::TimedOut)
        })
    }

    async fn load_or_join<E, F, Fut>(
        &self,
        runtime: &Handle,
        key: &Key,
        enough: Enough,
        loader: F,
    ) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let arrived = self.cache.tiers.fence.now();
        let mut waited = false;
        loop {
            let live = |(slot, state): (Slot, State)| {
                let is_fresh = matches!(state, State::Fresh(_) | State::Waning(_));
                if is_fresh || enough == Enough::Stale { open::<V>(slot).map(|value| (value, state)) } else { None }
            };
            match self.enter::<E, _>(key, || self.cache.tiers.peek(key).and_then(live), |_| enough.joins()) {
                Entered::Found((value, State::Fresh(fresh_for) | State::Waning(fresh_for))) => {
                    return Ok(Read::new(value, Source::Collapsed, fresh_for, true));
                }
                Entered::Found((value, _)) => return Ok(Read::stale(value)),
                Entered::Started(flight) => {
                    if !enough.joins() {
                        flight.inquiry.goes_alone();
                    }
                    if self.looks_first() {
                        self.lead(runtime, key, &flight, loader).await;
                    } else {
                        self.launch(runtime, key, &flight, L2Left::default(), loader);
                    }
                    let _waiting = nested::wait_for(&flight)?;
                    return self.answer(flight.outcome().await, None);
                }
                Entered::Joined(flight) => {
                    // One miss, although it may wait twice.
                    if !std::mem::replace(&mut waited, true) {
                        self.class.counters.add(Count::Collapsed);
                    }
                    let heard = flight.inquiry.noticed();
                    let _waiting = nested::wait_for(&flight)?;
                    let outcome = flight.outcome().await;
                    // The tags were not known when this caller joined. If one of them was
                    // invalidated before this caller came, the value is too old for it. A load that
                    // starts now cannot be too old. The same holds for a notice of a change of the
                    // key: it may have come before or after the load. If a batch found nothing,
                    // this caller's own loader still has to run.
                    let is_unfit = matches!(outcome, Outcome::Absent) || outcome.is_older_than(heard);
                    if !is_unfit && (flight.since >= arrived || !overtaken(outcome, flight.since)) {
                        return self.answer(outcome, Some(Source::Collapsed));
                    }
                }
            }
        }
    }

    /// Reloads a value in the background that is stale or soon will be. Does nothing if a load is
    /// in progress. Returns the load that it started or found.
    pub(crate) fn refresh<E, F, Fut>(&self, runtime: &Handle, key: &Key, loader: F) -> Option<Arc<Flight>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        match self.enter_behind::<E>(key, |_| true) {
            Entered::Found(()) => None,
            Entered::Joined(flight) => Some(flight),
            Entered::Started(flight) => {
                self.launch(runtime, key, &flight, L2Left::default(), loader);
                Some(flight)
            }
        }
    }

    /// Joins or starts the load behind a value that is stale, or soon will be, if one is due.
    pub(crate) fn enter_behind<E: 'static>(&self, key: &Key, is_joinable: impl Fn(&Flight) -> bool) -> Entered<()> {
        let mut past = None;
        let due = || {
            let (slot, state) = self.cache.tiers.peek(key)?;
            match state {
                // L2 holds it too, and would return the same again.
                State::Waning(_) => past = slot.shared,
                State::Stale => {}
                _ => return Some(()),
            }
            // Loads start under this lock, so readers that come during the load see that it runs.
            let now = self.cache.tiers.clock.coarse();
            self.cache.tiers.memory.postpone_refresh(key, now, now.saturating_add(PAUSE));
            None
        };
        let entered = self.enter::<E, _>(key, due, is_joinable);
        if let (Entered::Started(flight), Some(past)) = (&entered, past) {
            flight.inquiry.replaces(past);
        }
        entered
    }

    /// Reloads a stale value in the background. The reader waits for that load for the soft
    /// time-out of the class, and gets the stale value after it.
    pub(crate) async fn refresh_within<E, F, Fut>(
        &self,
        runtime: &Handle,
        key: &Key,
        value: Arc<V>,
        loader: F,
    ) -> Read<V>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let wait = self.class.ttl.soft();
        let Some(flight) = self.refresh(runtime, key, loader) else { return Read::stale(value) };
        if wait.is_zero() {
            return Read::stale(value);
        }
        let heard = flight.inquiry.noticed();
        match timeout(wait, flight.outcome()).await {
            Ok(outcome) if !overtaken(outcome, flight.since) && !outcome.is_older_than(heard) => {
                self.answer::<E>(outcome, None).unwrap_or_else(|_| Read::stale(value))
            }
            _ => Read::stale(value),
        }
    }

    /// Finds the value after all, or joins or starts a load of it.
    pub(crate) fn enter<E: 'static, T>(
        &self,
        key: &Key,
        recheck: impl FnOnce() -> Option<T>,
        is_joinable: impl Fn(&Flight) -> bool,
    ) -> Entered<T> {
        let fence = &self.cache.tiers.fence;
        let kind = Kind::of::<V, E>();
        let admissible = |flight: &Flight| fence.admits_class(flight.class, flight.since);
        let start = || Flight::new(kind, self.class.id, fence.now());
        let entered = self.cache.tiers.flights.enter(key, kind, recheck, admissible, is_joinable, start);
        if let Entered::Joined(flight) = &entered
            && let Some(go_on) = flight.take_duty()
        {
            // A caller that queries on its own may not be polled while others wait.
            go_on();
        }
        entered
    }

    /// Starts the load in a task of its own. `left` is the time that it may still spend on L2.
    pub(crate) fn launch<E, F, Fut>(&self, runtime: &Handle, key: &Key, flight: &Arc<Flight>, left: L2Left, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let landing = Landing::new(Arc::clone(&self.cache.tiers), Arc::clone(&self.class), key, flight);
        let (tiers, class, flight) = (Arc::clone(&self.cache.tiers), Arc::clone(&self.class), Arc::clone(flight));
        let (key, form) = (key.clone(), self.form.clone());
        // User code may panic: the call of the loader and the weighing are both inside the catch.
        let work = async move { tiers.bring(&key, &class, &form, &flight, left, loader).await }.in_current_span();
        // A runtime that shuts down drops the task unpolled. Then the dropped landing reports.
        let overdue_at = self.cache.tiers.bell.in_real_time(self.class.ttl.limit());
        let bounded = Arc::clone(&landing.flight);
        let task = runtime.spawn(async move {
            landing.land(match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(brought)) => Ended::Brought(brought),
                Ok(Err(Halted::Failed(error))) => Ended::Failed(Arc::new(error)),
                Ok(Err(Halted::Refused)) => Ended::Refused,
                Err(_) => Ended::Panicked,
            });
        });
        bounded.bound(overdue_at, task.abort_handle());
        self.cache.tiers.bell.look_at(overdue_at);
    }

    pub(crate) fn answer<E: Send + Sync + 'static>(
        &self,
        outcome: &Outcome,
        waited: Option<Source>,
    ) -> Result<Read<V>, LoadError<E>> {
        match outcome {
            Outcome::Loaded { slot, source: Source::Stale, .. } => Ok(Read::stale(
                open(slot.clone()).expect("callers share a load only when the value's type is the same"),
            )),
            Outcome::Loaded { slot, stored, source, .. } => {
                let source = waited.unwrap_or(*source);
                let left = slot.times.left(self.cache.tiers.clock.coarse().into());
                let fresh_for = if *stored { left } else { Duration::ZERO };
                let value = open(slot.clone()).expect("callers share a load only when the value's type is the same");
                Ok(Read::new(value, source, fresh_for, *stored))
            }
            Outcome::Failed(error) => {
                let error = Arc::clone(error).downcast();
                Err(LoadError::Loader(error.expect("callers share a load only when the error's type is the same")))
            }
            Outcome::Panicked => Err(LoadError::Panicked),
            // Only a batch ends without a value, and it handles that first.
            Outcome::Absent | Outcome::Aborted => Err(LoadError::Aborted),
            Outcome::CutOff => Err(LoadError::CutOff),
            Outcome::Refused => Err(LoadError::Refused),
        }
    }
}

pub(crate) fn overtaken(outcome: &Outcome, since: Generation) -> bool {
    matches!(outcome, Outcome::Loaded { slot, .. } if !slot.stamps.admit(since))
}
