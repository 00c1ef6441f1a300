//! Reads of many keys.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::load::{Errand, Own};
use crate::class::Count;
use crate::fill::{Fill, Known};
use crate::flight::{Entered, Flight, Outcome};
use crate::form::open;
use crate::generation::Generation;
use crate::handle::TypedCache;
use crate::key::Key;
use crate::load::overtaken;
use crate::nested::{self, Circle, Waiting};
use crate::read::{LoadError, Lookup, Read, Source};
use crate::slot::{Slot, State};
use crate::text::Prehashed;

/// In place of a loader's error, for batches that only look: nobody but such a batch joins their flights.
enum Nobody {}

/// The loader that such a batch doesn't have.
type NoLoader<V> = fn(Vec<Key>) -> std::future::Ready<Result<Vec<(Key, Fill<V>)>, Nobody>>;

/// How the value of one key will be known.
enum Awaited<V> {
    Known(Read<V>),
    Own(Arc<Flight>),
    Others(Arc<Flight>, Option<Doubt>),
}

/// Whether a load that somebody else began is young enough is known at its end.
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
        // Of what isn't there no tags are known.
        let is_overtaken = is_late && (matches!(outcome, Outcome::Absent) || overtaken(outcome, flight.since));
        is_overtaken || outcome.is_older_than(self.heard)
    }
}

/// What a batch knows of a key before it waits for anything.
enum Answer<V> {
    Known(Read<V>),
    /// A stale value, the load behind it, and what that had heard of changes when it was joined.
    Behind(Arc<V>, Arc<Flight>, u64),
    Awaited,
    NoRuntime,
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The values under the keys, as far as there are any to serve, in the order of the keys.
    ///
    /// Asks L1, and for what it doesn't have L2, in few round trips; never loads. What L2 has is kept in L1. Cancelled, it
    /// goes on behind. Nothing is waited for when L1 has everything, when there is no L2 or no codec, or no runtime.
    ///
    /// From L2 a thousand keys cost a small part of as many single reads, in a cluster as well. A batch of 1,000 keys waits for
    /// Redis no longer than a single read, a larger one for longer in proportion, and none for longer than the
    /// [`hard_timeout`](crate::TtlClass::hard_timeout) of its class; what is not known by then is a miss.
    pub async fn get_many<K: Borrow<Key>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Lookup<V>> {
        let keys: Vec<Key> = keys.into_iter().map(|key| key.borrow().clone()).collect();
        let mut answers: Vec<Lookup<V>> = keys.iter().map(|key| self.get_local(key)).collect();
        self.look_behind(&keys, &mut answers).await;
        answers
    }

    /// Asks L2 for what L1 doesn't have.
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

    /// The values under the keys, loaded when there are none to serve: one answer per key, in the order of the keys.
    ///
    /// As [`get_or_load`](Self::get_or_load) for every key, with its guarantees, but all keys that L1 and L2 don't have are
    /// loaded by **one** call of `loader`, in a task of its own. Keys that somebody else is loading already are waited for
    /// and not loaded again; whoever asks for one of these keys meanwhile, alone or in a batch, waits for this load.
    ///
    /// The loader is given the keys that are missing, or stale and nobody else's, and answers with a value for each of which
    /// there is one: `Vec<(Key, Fill<V>)>`, a `HashMap` or whatever iterates so. What it leaves out is `Ok(None)`: it isn't
    /// remembered ([`Fill::absent`] is), and what was stale is gone, from L2 too where Redis can be told. Keys that it was not asked for are ignored; of several values for one key the
    /// last one counts. Times and places count as for one load: the call takes one place, and the time-outs of the class hold for
    /// the whole batch.
    ///
    /// Who gets `Ok(None)` from a load that another call began is told what that call's loader said. A single
    /// [`get_or_load`](Self::get_or_load) which waited asks its own loader then.
    ///
    /// A batch waits for loads of other processes only while it has none of its own to make. And while it has none, it waits for
    /// loads of this process that began before the last invalidation of anything, or of whose key a change was heard since, and
    /// calls its loader for what they bring too late. Has it some, it loads such keys besides them.
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
        let runtime = Handle::try_current().ok();
        let (mut own, mut answers) = (Vec::new(), Vec::with_capacity(keys.len()));
        let mut awaited: HashMap<Key, Awaited<V>, Prehashed> = HashMap::default();
        // From here to the launch nobody else's code runs: who joins a flight of this batch can rely on its end.
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
            // The one call is made now, so nothing is waited for that may turn out too old.
            for (key, awaited) in &mut awaited {
                if let Awaited::Others(_, Some(_)) = awaited {
                    *awaited = self.enter_many::<E>(key, &mut own, false);
                }
            }
            self.launch_many(runtime, mem::take(&mut own), Errand::Load(loader));
        }
        let now = Instant::now();
        let (soft, hard) = (now + self.class.ttl.soft(), self.class.ttl.hard().map(|wait| now + wait));
        // For all, before the first is waited for: a load that this batch waits for later may need its place now.
        let behind = answers.iter().filter_map(|answer| match answer {
            Answer::Behind(_, flight, _) => nested::wait_for(flight).ok(),
            _ => None,
        });
        let _behind: Vec<_> = behind.collect();
        let mut waiting: HashMap<Key, Result<Option<Waiting>, Circle>, Prehashed> = HashMap::default();
        for (key, read) in &awaited {
            if let Awaited::Own(flight) | Awaited::Others(flight, _) = read {
                waiting.insert(key.clone(), nested::wait_for(flight));
            }
        }
        if let (Some(runtime), Some(loader)) = (&runtime, loader) {
            // Everything is being loaded by others: the one call is kept for what they turn out to bring too late.
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
            // From here to the launch nothing is waited for, as above.
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
            if let (Answer::Awaited, Some(Err(Circle))) = (&answer, waiting.get(key)) {
                reads.push(Err(LoadError::Circle));
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

    /// As [`get_or_load_many`](Self::get_or_load_many), for a source that can tell whether values have changed: with each key the
    /// loader is given the value that L1 still holds, as by [`get_or_revalidate`](Self::get_or_revalidate), and may answer
    /// that it [still holds](Known::still_holds).
    ///
    /// # Errors
    ///
    /// As [`get_or_load_many`](Self::get_or_load_many).
    pub async fn get_or_revalidate_many<E, F, Fut, I, K>(
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
        self.get_or_load_many(keys, load).await
    }

    /// Joins the flight of a key, or starts one that this batch must bring, unless L1 has a value by now. Joins one that may
    /// turn out too old only where that can be waited for.
    fn enter_many<E: 'static>(&self, key: &Key, own: &mut Vec<Own>, joins_any: bool) -> Awaited<V> {
        let tiers = &self.cache.tiers;
        let arrived = tiers.fence.now();
        let live = |(slot, state): (Slot, State)| open::<V>(slot).map(|value| (value, state));
        // Of one that started before the last invalidation it is not known whether its tags were meant, nor what word of a change
        // of its key meant, and a batch has but one loader call: it doesn't wait to find out.
        let is_joinable = |flight: &Flight| joins_any || Doubt::of(flight, arrived).is_none();
        match self.enter::<E, _>(key, || tiers.peek(key).and_then(live), is_joinable) {
            Entered::Found((value, State::Fresh(fresh_for) | State::Waning(fresh_for))) => {
                Awaited::Known(Read { value, source: Source::Collapsed, fresh_for, stored: true })
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

    /// The load behind a value that is stale, or soon will be: somebody else's, or one that this batch must bring.
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

    /// What the load behind a stale value brings in time, or that value.
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
    Read { value: Arc::clone(&read.value), source: read.source, fresh_for: read.fresh_for, stored: read.stored }
}
