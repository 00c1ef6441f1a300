//! Reads of many keys.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::load::{Errand, Own};
use crate::class::Count;
use crate::fill::Fill;
use crate::flight::{Entered, Flight, Kind, Outcome};
use crate::key::Key;
use crate::nested;
use crate::read::{LoadError, Lookup, Read, Source};
use crate::slot::{Slot, State};
use crate::text::Prehashed;
use crate::typed::{TypedCache, open, stale};

/// In place of a loader's error, for batches that only look: nobody but such a batch joins their flights.
enum Nobody {}

/// How the value of one key will be known.
enum Awaited<V> {
    Known(Read<V>),
    Own(Arc<Flight>),
    Others(Arc<Flight>),
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The values under the keys, as far as there are any to serve, in the order of the keys.
    ///
    /// Asks L1, and for what it doesn't have L2, in few round trips; never loads. What L2 has is kept in L1. Cancelled, it
    /// goes on behind. Nothing is waited for when L1 has everything, when there is no L2 or no codec, or no runtime.
    ///
    /// Costs a fiftieth or so of as many single reads from L2. A batch of 1,000 keys waits for Redis no longer than a single
    /// read, a larger one for longer in proportion.
    pub async fn get_many<K: Borrow<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Lookup<V>> {
        let keys: Vec<Key> = keys.into_iter().map(|key| key.borrow().clone()).collect();
        let mut answers: Vec<Lookup<V>> = keys.iter().map(|key| self.get(key)).collect();
        let absent: Vec<usize> = (0..keys.len()).filter(|index| matches!(answers[*index], Lookup::Miss)).collect();
        if absent.is_empty() || !self.is_shared() {
            return answers;
        }
        let Ok(runtime) = Handle::try_current() else { return answers };
        let (mut own, mut awaited) = (Vec::new(), HashMap::with_hasher(Prehashed));
        for index in &absent {
            let key = &keys[*index];
            if awaited.contains_key(key) {
                continue;
            }
            let read = self.enter_many::<Nobody>(key, &mut own, |_| true);
            awaited.insert(key.clone(), read);
        }
        if !own.is_empty() {
            self.launch_many(
                &runtime,
                own,
                Errand::<fn(Vec<Key>) -> std::future::Ready<Result<Vec<(Key, Fill<V>)>, Nobody>>>::Look,
            );
        }
        for index in absent {
            let read = match &awaited[&keys[index]] {
                Awaited::Known(read) => Some((Arc::clone(&read.value), read.source)),
                Awaited::Own(flight) | Awaited::Others(flight) => {
                    let read = self.outcome_of::<Nobody>(flight, None, None).await;
                    read.ok().flatten().map(|read| (read.value, read.source))
                }
            };
            match read {
                Some((value, Source::Stale)) => answers[index] = Lookup::Stale(value),
                Some((value, _)) => answers[index] = Lookup::Fresh(value),
                None => {}
            }
        }
        answers
    }

    /// The values under the keys, loaded when there are none to serve: one answer per key, in the order of the keys.
    ///
    /// As [`get_or_load`](Self::get_or_load) for every key, with its guarantees, but all keys that L1 and L2 don't have are
    /// loaded by **one** call of `loader`, in a task of its own. Keys that somebody else is loading already are waited for
    /// and not loaded again; whoever asks for one of these keys meanwhile, alone or in a batch, waits for this load.
    ///
    /// The loader is given the keys that are missing, or stale and nobody else's, and answers with a value for each of which
    /// there is one: `Vec<(Key, Fill<V>)>`, a `HashMap` or whatever iterates so. What it leaves out is `Ok(None)`: it isn't
    /// remembered, and what was stale is gone. Keys that it was not asked for are ignored; of several values for one key the
    /// last one counts. Stale values are served at once, but one call for stale and missing keys takes as long as it takes.
    ///
    /// Who gets `Ok(None)` from a load that another call began is told what that call's loader said. A single
    /// [`get_or_load`](Self::get_or_load) which waited asks its own loader then.
    ///
    /// A batch waits for loads of other processes only while it has none of its own to make. It refreshes what is stale, but
    /// nothing ahead of its end, and takes one place among the loads that run at once.
    ///
    /// # Errors
    ///
    /// Per key, as [`get_or_load`](Self::get_or_load): the loader's error or panic is the answer of every key that was left to
    /// it. `into_iter().collect::<Result<Vec<_>, _>>()` makes it all or nothing.
    pub async fn get_or_load_many<E, F, Fut, I, K>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Read<V>>, LoadError<E>>>
    where
        E: Send + Sync + 'static,
        F: FnOnce(Vec<Key>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send + 'static,
        K: Borrow<Key>,
    {
        let keys: Vec<Key> = keys.into_iter().map(|key| key.borrow().clone()).collect();
        let found: Vec<_> = keys.iter().map(|key| self.look_up(key)).collect();
        let runtime = Handle::try_current();
        let (mut own, mut answers) = (Vec::new(), Vec::with_capacity(keys.len()));
        let mut awaited: HashMap<Key, Awaited<V>, Prehashed> = HashMap::default();
        // From here to the launch nobody else's code runs: who joins a flight of this batch can rely on its end.
        for (key, found) in keys.iter().zip(found) {
            let read = match found {
                Some((value, State::Fresh(fresh_for) | State::Waning(fresh_for))) => {
                    Read { value, source: Source::Hit, fresh_for, stored: true }
                }
                Some((value, state)) => {
                    if state == State::Stale && runtime.is_ok() {
                        // Joined or known already, it is somebody else's.
                        self.enter_many::<E>(key, &mut own, |state| *state != State::Stale);
                    }
                    stale(value)
                }
                None if runtime.is_err() => {
                    answers.push(Some(Err(LoadError::NoRuntime)));
                    continue;
                }
                None => {
                    // A key that comes twice is waited for once.
                    if !awaited.contains_key(key) {
                        let entered = self.enter_many::<E>(key, &mut own, |_| true);
                        if matches!(entered, Awaited::Others(_)) {
                            self.class.counters.add(Count::Collapsed);
                        }
                        awaited.insert(key.clone(), entered);
                    }
                    answers.push(None);
                    continue;
                }
            };
            answers.push(Some(Ok(Some(read))));
        }
        if let (Ok(runtime), false) = (runtime, own.is_empty()) {
            self.launch_many(&runtime, own, Errand::Load(loader));
        }
        // One for all keys, as for one.
        let until = self.class.ttl.hard().and_then(|wait| Instant::now().checked_add(wait));
        let mut reads = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            reads.push(match (answer, awaited.get(key)) {
                (Some(answer), _) => answer,
                (None, Some(Awaited::Own(flight))) => self.outcome_of(flight, None, until).await,
                (None, Some(Awaited::Others(flight))) => self.outcome_of(flight, Some(Source::Collapsed), until).await,
                (None, Some(Awaited::Known(read))) => Ok(Some(copy(read))),
                (None, None) => Ok(None),
            });
        }
        reads
    }

    /// Joins the flight of a key, or starts one that this batch must bring, unless L1 has a value by now that is `enough`.
    fn enter_many<E: 'static>(&self, key: &Key, own: &mut Vec<Own>, enough: impl Fn(&State) -> bool) -> Awaited<V> {
        let tiers = &self.cache.tiers;
        let (fence, kind) = (&tiers.fence, Kind::of::<V, E>());
        let arrived = fence.now();
        let recheck = || {
            let (slot, state): (Slot, State) = tiers.peek(key).filter(|(_, state)| enough(state))?;
            open::<V>(slot).map(|value| (value, state))
        };
        let admissible = |flight: &Flight| fence.admits_class(flight.class, flight.since);
        // Of one that started before the last invalidation it is not known whether its tags were meant, and a batch has but
        // one loader call: it doesn't wait to find out.
        let is_joinable = |flight: &Flight| flight.since >= arrived;
        let start = || Flight::new(kind, self.class.id, fence.now());
        match tiers.flights.enter(key, kind, recheck, admissible, is_joinable, start) {
            Entered::Found((value, State::Fresh(fresh_for) | State::Waning(fresh_for))) => {
                Awaited::Known(Read { value, source: Source::Collapsed, fresh_for, stored: true })
            }
            Entered::Found((value, _)) => Awaited::Known(stale(value)),
            Entered::Joined(flight) => Awaited::Others(flight),
            Entered::Started(flight) => {
                own.push((key.clone(), Arc::clone(&flight)));
                Awaited::Own(flight)
            }
        }
    }

    async fn outcome_of<E: Send + Sync + 'static>(
        &self,
        flight: &Arc<Flight>,
        waited: Option<Source>,
        until: Option<Instant>,
    ) -> Result<Option<Read<V>>, LoadError<E>> {
        let _waiting = nested::wait_for(flight)?;
        let outcome = match until {
            None => flight.outcome().await,
            Some(until) => match timeout_at(until, flight.outcome()).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    self.class.counters.add(Count::TimedOut);
                    return Err(LoadError::TimedOut);
                }
            },
        };
        match outcome {
            Outcome::Absent => Ok(None),
            outcome => self.answer(outcome, waited).map(Some),
        }
    }

    /// Whether there is an L2 that holds such values.
    fn is_shared(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.cache.tiers.l2.is_some() && self.form.codec.is_some();
        #[cfg(not(feature = "redis"))]
        false
    }
}

fn copy<V>(read: &Read<V>) -> Read<V> {
    Read { value: Arc::clone(&read.value), source: read.source, fresh_for: read.fresh_for, stored: read.stored }
}
