//! Reads of many keys.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::load::{Errand, Own};
use crate::handle::TypedCache;
use crate::load::overtaken;
use tidegate_cache_tiers::{
    Fill, Key, Known, LoadError, Lookup, Read, Source,
    class::Count,
    flight::{Entered, Flight, Outcome},
    form::open,
    generation::Generation,
    nested,
    nested::{Cycle, Waiting},
    slot::{Slot, State},
    text::Prehashed,
};

/// The loader's error for batches that only read. Only such a batch joins their flights.
enum Nobody {}

/// The missing loader of such a batch.
type NoLoader<V> = fn(Vec<Key>) -> std::future::Ready<Result<Vec<(Key, Fill<V>)>, Nobody>>;

/// How the value of one key will be known.
enum Awaited<V> {
    Known(Read<V>),
    Own(Arc<Flight>),
    Others(Arc<Flight>, Option<Doubt>),
}

/// A load that another caller began is known to be young enough only at its end.
#[derive(Clone, Copy)]
struct Doubt {
    arrived: Generation,
    heard: u64,
}

impl Doubt {
    fn of(flight: &Flight, arrived: Generation) -> Option<Self> {
        let heard = flight.inquiry.noticed();
        (flight.since < arrived || heard > 0).then_some(Self { arrived, heard })
    }

    fn is_confirmed_by(self, flight: &Flight, outcome: &Outcome) -> bool {
        let is_late = flight.since < self.arrived;
        // The tags of a missing value are not known.
        let is_overtaken = is_late && (matches!(outcome, Outcome::Absent) || overtaken(outcome, flight.since));
        is_overtaken || outcome.is_older_than(self.heard)
    }
}

/// State of a key before the batch waits for anything.
enum Answer<V> {
    Known(Read<V>),
    /// A stale value, the load behind it, and that load's notices when it was joined.
    Behind(Arc<V>, Arc<Flight>, u64),
    Awaited,
    NoRuntime,
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The values under the keys, as far as there are any to serve, in the order of the keys.
    ///
    /// Reads L1, and reads the missing keys from L2 in few round trips. Never loads. Values of L2
    /// are kept in L1. A cancelled call continues in the background. It waits for nothing if L1 has
    /// everything, or if there is no L2, no codec or no runtime.
    ///
    /// A thousand keys from L2 cost a small part of a thousand single reads, in a cluster as well.
    /// A batch of 1,000 keys waits for Redis no longer than a single read. A larger batch waits
    /// longer in proportion. No batch waits longer than the
    /// [`hard_timeout`](crate::TtlClass::hard_timeout) of its class. Keys that are not known by
    /// then are misses.
    pub async fn get_many<K: Borrow<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Lookup<V>> {
        let keys: Vec<Key> = keys.into_iter().map(|key| key.borrow().clone()).collect();
        let mut answers: Vec<Lookup<V>> = keys.iter().map(|key| self.peek(key)).collect();
        self.look_behind(&keys, &mut answers).await;
        answers
    }

    /// Queries L2 for the keys that L1 does not have.
    pub(crate) async fn look_behind(&self, keys: &[Key], answers: &mut [Lookup<V>]) {
        if self.cache.tiers.l2.is_none() || self.form.codec.is_none() {
            return;
        }
        let absent: Vec<usize> = (0..keys.len()).filter(|index| matches!(answers[*index], Lookup::Miss)).collect();
        if absent.is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (mut own, mut awaited) = (Vec::new(), HashMap::with_hasher(Prehashed));
        for index in &absent {
            let key = &keys[*index];
            if !awaited.contains_key(key) {
                awaited.insert(key.clone(), self.enter_many::<Nobody>(key, &mut own, false));
            }
        }
        if !own.is_empty() {
            self.launch_many(&runtime, own, Errand::<NoLoader<V>>::Look);
        }
        let hard = self.class.ttl.hard().map(|wait| Instant::now() + wait);
        for index in absent {
            let read = match &awaited[&keys[index]] {
                Awaited::Known(read) => Some((Arc::clone(&read.value), read.source)),
                Awaited::Own(flight) | Awaited::Others(flight, _) => {
                    let read = self.outcome_of::<Nobody>(flight, None, hard).await;
                    read.ok().flatten().map(|read| (read.value, read.source))
                }
            };
            match read {
                Some((value, Source::Stale)) => answers[index] = Lookup::Stale(value),
                Some((value, _)) => answers[index] = Lookup::Fresh(value),
                None => {}
            }
        }
    }

    /// Returns the values under the keys, and loads those that cannot be served. There is one
    /// answer per key, in the order of the keys.
    ///
    /// For every key it behaves like [`fetch`](Self::fetch), with the same guarantees. All keys
    /// that L1 and L2 don't have are loaded by **one** call of `loader`, in a task of its own. For
    /// keys that another caller is loading, it waits and does not load them again. A caller that
    /// requests one of these keys meanwhile, alone or in a batch, waits for this load.
    ///
    /// The loader receives the keys that are missing, and the stale keys that no other caller
    /// loads. It returns a value for each key that has one: `Vec<(Key, Fill<V>)>`, a `HashMap` or
    /// any other iterator of such pairs. A key that it leaves out is `Ok(None)`. The absence is not
    /// remembered ([`Fill::absent`] is). A stale value of that key is removed, from L2 too if Redis
    /// can be reached. Keys that were not requested are ignored. If a key has several values, the
    /// last one counts. For limits and time-outs the call counts as one load: it takes one permit,
    /// and the time-outs of the class apply to the whole batch.
    ///
    /// A caller that gets `Ok(None)` from a load that another call began gets the answer of that
    /// call's loader. Then a single [`fetch`](Self::fetch) calls its own.
    ///
    /// A batch waits for loads of other processes only while it has no load of its own to run.
    /// While it has none, it also waits for two kinds of loads of this process: those that began
    /// before the last invalidation, and those whose key was changed since. It calls its loader for
    /// the keys whose values come too late. If it has a load, it loads them too.
    ///
    /// # Errors
    ///
    /// Per key, as [`fetch`](Self::fetch): an error or a panic of the loader is the answer of every
    /// key that the loader had to bring. `into_iter().collect::<Result<Vec<_>, _>>()` makes it all
    /// or nothing.
    pub async fn fetch_many<E, F, Fut, I, K>(
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
        let runtime = Handle::try_current().ok();
        let (mut own, mut answers) = (Vec::new(), Vec::with_capacity(keys.len()));
        let mut awaited: HashMap<Key, Awaited<V>, Prehashed> = HashMap::default();
        // No foreign code runs until the launch, so callers may rely on the end of joined flights.
        for (key, found) in keys.iter().zip(found) {
            answers.push(match found {
                Some((value, State::Fresh(fresh_for))) => Answer::Known(Read::hit(value, fresh_for)),
                Some((value, State::Waning(fresh_for))) => {
                    if runtime.is_some() {
                        self.enter_behind_many::<E>(key, &mut own);
                    }
                    Answer::Known(Read::hit(value, fresh_for))
                }
                Some((value, State::Stale)) if runtime.is_some() => match self.enter_behind_many::<E>(key, &mut own) {
                    Some(flight) if !self.class.ttl.soft().is_zero() => {
                        let heard = flight.inquiry.noticed();
                        Answer::Behind(value, flight, heard)
                    }
                    _ => Answer::Known(Read::stale(value)),
                },
                Some((value, _)) => Answer::Known(Read::stale(value)),
                None if runtime.is_none() => Answer::NoRuntime,
                None => {
                    // A key that comes twice is waited for once.
                    if !awaited.contains_key(key) {
                        let entered = self.enter_many::<E>(key, &mut own, true);
                        if matches!(entered, Awaited::Others(..)) {
                            self.class.counters.add(Count::Collapsed);
                        }
                        awaited.insert(key.clone(), entered);
                    }
                    Answer::Awaited
                }
            });
        }
        let mut loader = Some(loader);
        if let Some(runtime) = runtime.as_ref().filter(|_| !own.is_empty())
            && let Some(loader) = loader.take()
        {
            // The one call is made now, so no flight is joined that may turn out too old.
            for (key, awaited) in &mut awaited {
                if let Awaited::Others(_, Some(_)) = awaited {
                    *awaited = self.enter_many::<E>(key, &mut own, false);
                }
            }
            self.launch_many(runtime, mem::take(&mut own), Errand::Load(loader));
        }
        let now = Instant::now();
        let (soft, hard) = (now + self.class.ttl.soft(), self.class.ttl.hard().map(|wait| now + wait));
        // This happens for all keys before the first wait. A load that this batch waits for later
        // may need its permit now.
        let behind = answers.iter().filter_map(|answer| match answer {
            Answer::Behind(_, flight, _) => nested::wait_for(flight).ok(),
            _ => None,
        });
        let _behind: Vec<_> = behind.collect();
        let mut waiting: HashMap<Key, Result<Option<Waiting>, Cycle>, Prehashed> = HashMap::default();
        for (key, read) in &awaited {
            if let Awaited::Own(flight) | Awaited::Others(flight, _) = read {
                waiting.insert(key.clone(), nested::wait_for(flight));
            }
        }
        if let (Some(runtime), Some(loader)) = (&runtime, loader) {
            // Other callers load everything. The one call is kept for values that come too late.
            let mut late = Vec::new();
            for (key, read) in &awaited {
                let (Awaited::Others(flight, Some(doubt)), Some(Ok(_))) = (read, waiting.get(key)) else { continue };
                let ended = match hard {
                    Some(deadline) => timeout_at(deadline, flight.outcome()).await.ok(),
                    None => Some(flight.outcome().await),
                };
                if ended.is_some_and(|outcome| doubt.is_confirmed_by(flight, outcome)) {
                    late.push(key.clone());
                }
            }
            // No foreign code runs until the launch, as above.
            for key in late {
                let read = self.enter_many::<E>(&key, &mut own, false);
                if let Awaited::Own(flight) | Awaited::Others(flight, _) = &read {
                    waiting.insert(key.clone(), nested::wait_for(flight));
                }
                awaited.insert(key, read);
            }
            if !own.is_empty() {
                self.launch_many(runtime, own, Errand::Load(loader));
            }
        }
        let mut reads = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            if let (Answer::Awaited, Some(Err(Cycle))) = (&answer, waiting.get(key)) {
                reads.push(Err(LoadError::Cycle));
                continue;
            }
            reads.push(match (answer, awaited.get(key)) {
                (Answer::Known(read), _) => Ok(Some(read)),
                (Answer::Behind(value, flight, heard), _) => {
                    Ok(Some(self.newer_than::<E>(value, (&flight, heard), soft).await))
                }
                (Answer::Awaited, Some(Awaited::Known(read))) => Ok(Some(copy(read))),
                (Answer::Awaited, Some(Awaited::Own(flight))) => self.outcome_of(flight, None, hard).await,
                (Answer::Awaited, Some(Awaited::Others(flight, _))) => {
                    self.outcome_of(flight, Some(Source::Collapsed), hard).await
                }
                (Answer::NoRuntime | Answer::Awaited, _) => Err(LoadError::NoRuntime),
            });
        }
        reads
    }

    /// Like [`fetch_many`](Self::fetch_many), for a source that knows whether values have changed.
    /// The loader receives with each key the value that L1 still holds, as in
    /// [`fetch_or_revalidate`](Self::fetch_or_revalidate). It may answer that the value [still
    /// holds](Known::still_holds).
    ///
    /// # Errors
    ///
    /// As [`fetch_many`](Self::fetch_many).
    pub async fn fetch_or_revalidate_many<E, F, Fut, I, K>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Vec<Result<Option<Read<V>>, LoadError<E>>>
    where
        E: Send + Sync + 'static,
        F: FnOnce(Vec<(Key, Option<Known<V>>)>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send + 'static,
        K: Borrow<Key>,
    {
        let tiers = Arc::clone(&self.cache.tiers);
        let load = move |missing: Vec<Key>| {
            let with_known = |key| {
                let known = tiers.known(&key);
                (key, known)
            };
            loader(missing.into_iter().map(with_known).collect())
        };
        self.fetch_many(keys, load).await
    }

    /// Joins the flight of a key, or starts one that this batch must bring, unless L1 has a value
    /// by now. Joins a flight that may turn out too old only if the batch can wait for it.
    fn enter_many<E: 'static>(&self, key: &Key, own: &mut Vec<Own>, joins_any: bool) -> Awaited<V> {
        let tiers = &self.cache.tiers;
        let arrived = tiers.fence.now();
        let live = |(slot, state): (Slot, State)| open::<V>(slot).map(|value| (value, state));
        // If a flight started before the last invalidation, it is unknown whether its tags were
        // meant. The same holds for a notice of a change of its key. A batch has only one loader
        // call, so it does not wait to find out.
        let is_joinable = |flight: &Flight| joins_any || Doubt::of(flight, arrived).is_none();
        match self.enter::<E, _>(key, || tiers.peek(key).and_then(live), is_joinable) {
            Entered::Found((value, State::Fresh(fresh_for) | State::Waning(fresh_for))) => {
                Awaited::Known(Read::new(value, Source::Collapsed, fresh_for, true))
            }
            Entered::Found((value, _)) => Awaited::Known(Read::stale(value)),
            Entered::Joined(flight) => {
                let doubt = Doubt::of(&flight, arrived);
                Awaited::Others(flight, doubt)
            }
            Entered::Started(flight) => {
                own.push((key.clone(), Arc::clone(&flight)));
                Awaited::Own(flight)
            }
        }
    }

    /// The load of a value that is stale or soon will be: another caller's, or this batch's.
    fn enter_behind_many<E: 'static>(&self, key: &Key, own: &mut Vec<Own>) -> Option<Arc<Flight>> {
        match self.enter_behind::<E>(key, |_| true) {
            Entered::Found(()) => None,
            Entered::Joined(flight) => Some(flight),
            Entered::Started(flight) => {
                own.push((key.clone(), Arc::clone(&flight)));
                Some(flight)
            }
        }
    }

    /// Returns the value that the load behind a stale value returns in time, or the stale value.
    async fn newer_than<E: Send + Sync + 'static>(
        &self,
        value: Arc<V>,
        (flight, heard): (&Flight, u64),
        until: Instant,
    ) -> Read<V> {
        match timeout_at(until, flight.outcome()).await {
            Ok(outcome) if !overtaken(outcome, flight.since) && !outcome.is_older_than(heard) => {
                self.answer::<E>(outcome, None).unwrap_or_else(|_| Read::stale(value))
            }
            _ => Read::stale(value),
        }
    }

    async fn outcome_of<E: Send + Sync + 'static>(
        &self,
        flight: &Arc<Flight>,
        waited: Option<Source>,
        hard: Option<Instant>,
    ) -> Result<Option<Read<V>>, LoadError<E>> {
        let Some(deadline) = hard else { return self.answer_of(flight.outcome().await, waited) };
        match timeout_at(deadline, flight.outcome()).await {
            Ok(outcome) => self.answer_of(outcome, waited),
            Err(_) => {
                self.class.counters.add(Count::TimedOut);
                Err(LoadError::TimedOut)
            }
        }
    }

    fn answer_of<E: Send + Sync + 'static>(
        &self,
        outcome: &Outcome,
        waited: Option<Source>,
    ) -> Result<Option<Read<V>>, LoadError<E>> {
        match outcome {
            Outcome::Absent => Ok(None),
            outcome => self.answer(outcome, waited).map(Some),
        }
    }
}

fn copy<V>(read: &Read<V>) -> Read<V> {
    Read::new(Arc::clone(&read.value), read.source, read.fresh_for, read.stored)
}
