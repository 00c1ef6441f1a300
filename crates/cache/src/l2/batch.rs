//! The steps of the protocol for many keys. Each does for every key what its single-key step does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all, join3, try_join_all};
use tidegate_redis::{Arg, Command, Error, Topology, Value};
use tokio::time::Instant;

use super::entry::{Entry, EntryId, HEAD};
use super::epoch::Epoch;
use super::look::Looked;
use super::names::Names;
use super::new::{Failure, Filled, New};
use super::patience::{Impatience, Patience};
use super::steps::{Answered, BYTES, Item, run_many};
use super::tier::{RedisTier, millis};
use crate::key::Key;
use crate::tag::Tag;

/// Number of tags whose generations one command reads.
const TAGS: usize = 256;

/// Longer than the client's limit of any command.
pub(super) const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A key to read, with the head of an entry that is known to be invalid.
pub(super) struct Look<'a> {
    pub(super) key: &'a Key,
    pub(super) reject: Option<Bytes>,
}

/// Result of a load, with the fence under which it may be stored.
pub(super) struct FillOne {
    pub(super) key: Key,
    pub(super) fence: String,
    pub(super) new: New,
}

/// Value of a caller, with its index and the names of value and fence.
struct Put {
    index: usize,
    names: [String; 2],
    new: New,
}

/// Result of a read before its tags are compared.
pub(super) enum Seen {
    Entry { entry: Entry, left: Duration, head: Bytes },
    Done(Looked),
}

impl Seen {
    /// Reply of a replica. `None` if it is not an entry.
    pub(super) fn peeked(values: Vec<Value>) -> Option<Self> {
        let mut values = values.into_iter();
        let bytes = values.next()?.into_optional_bytes().ok()??;
        let left = Duration::from_millis(u64::try_from(values.next()?.as_int().ok()?).unwrap_or_default());
        let entry = Entry::decode(&bytes).ok()?;
        Some(Self::Entry { entry, left, head: bytes.slice(..bytes.len().min(HEAD)) })
    }
}

impl RedisTier {
    /// Reads keys. With a `fence`, also joins the loads of keys that have no value.
    pub(super) async fn look_many(
        &self,
        looks: &[Look<'_>],
        class: &str,
        fence: &str,
        patience: &mut Patience,
    ) -> Answered<Looked> {
        let mut items = Vec::with_capacity(looks.len());
        for look in looks {
            let head = look.reject.clone().unwrap_or_default();
            items.push(Item { names: self.pair(look.key), args: vec![head.into()], bytes: 0 });
        }
        let common = [Arg::from(fence), millis(self.fence), Arg::from(BYTES), self.abandoned_below()];
        let mut aside = patience.clone();
        let field = Names::class_field(class);
        let fields = [field.as_str()];
        let epoch = aside.spend(self.epoch_fields(&fields));
        let looked = run_many(&self.client, &self.scripts.look_many, &common, items, 2, patience);
        let (looked, epoch) = join(looked, epoch).await;
        let mut failures = looked.failures;
        let epoch = match epoch {
            Ok(epoch) => epoch,
            Err(error) => {
                failures.push(error);
                return Answered { answers: looks.iter().map(|_| None).collect(), failures };
            }
        };
        let mut seen = Vec::with_capacity(looks.len());
        for answer in looked.answers {
            seen.push(answer.and_then(|values| match self::seen(values, fence) {
                Ok(seen) => Some(seen),
                Err(error) => {
                    failures.push(Impatience::Failed(error));
                    None
                }
            }));
        }
        match self.judge(seen, class, epoch, patience).await {
            Ok(answers) => Answered { answers, failures },
            Err(error) => {
                failures.push(error);
                Answered { answers: looks.iter().map(|_| None).collect(), failures }
            }
        }
    }

    /// Compares the marks of entries with those in force.
    pub(super) async fn judge(
        &self,
        seen: Vec<Option<Seen>>,
        class: &str,
        mut epoch: Epoch,
        patience: &mut Patience,
    ) -> Result<Vec<Option<Looked>>, Impatience<Error>> {
        let (mut others, mut tags) = (HashSet::new(), HashSet::new());
        for entry in seen.iter().flatten() {
            let Seen::Entry { entry, .. } = entry else { continue };
            if entry.class() != class {
                others.insert(Names::class_field(entry.class()));
            }
            tags.extend(entry.tags.iter().map(|(tag, _)| tag.clone()));
        }
        if !others.is_empty() {
            let fields: Vec<&str> = others.iter().map(String::as_str).collect();
            let theirs = patience.spend(self.epoch_fields(&fields)).await?;
            epoch = epoch.with(theirs);
        }
        let generations = patience.spend(self.current(tags.into_iter().collect())).await?;
        let is_valid = |entry: &Entry| {
            let moves = epoch.count(&Names::class_field(entry.class()));
            epoch.is(&entry.epoch)
                && moves == entry.class_moves
                && entry.tags.iter().all(|(tag, carried)| generations.get(tag) == Some(carried))
        };
        let judged = seen.into_iter().map(|seen| match seen? {
            Seen::Entry { entry, left, .. } if is_valid(&entry) => Some(Looked::of(entry, left)),
            Seen::Entry { head, .. } => Some(Looked::Invalid { head }),
            Seen::Done(looked) => Some(looked),
        });
        Ok(judged.collect())
    }

    /// Returns the generations of those tags that have one.
    pub(super) async fn current(&self, tags: Vec<Tag>) -> Result<HashMap<Tag, Bytes>, Error> {
        let step = if self.client.topology() == Topology::Cluster { 1 } else { TAGS };
        let mut reads = Vec::with_capacity(tags.len().div_ceil(step));
        for tags in tags.chunks(step) {
            let names = tags.iter().map(|tag| self.names.generation(tag));
            let command = names.fold(Command::new("MGET"), Command::key).idempotent();
            reads.push(async move { self.client.execute(command).await?.into_array() });
        }
        let found = try_join_all(reads).await?;
        let mut generations = HashMap::with_capacity(tags.len());
        for (tag, generation) in tags.into_iter().zip(found.into_iter().flatten()) {
            if let Some(generation) = generation.into_optional_bytes()? {
                generations.insert(tag, generation);
            }
        }
        Ok(generations)
    }

    /// Stores loaded values, except those invalidated meanwhile.
    pub(super) async fn fill_many(
        &self,
        fills: Vec<FillOne>,
        epoch: &Epoch,
        patience: &mut Patience,
    ) -> (Vec<Option<Filled>>, Vec<Impatience<Failure>>) {
        let _changing = self.changing(fills.iter().map(|fill| &fill.key));
        let mut answers: Vec<Option<Filled>> = fills.iter().map(|_| None).collect();
        let mut failures = Vec::new();
        let carried = match patience.spend(self.carry(fills.iter().map(|fill| &fill.new))).await {
            Ok(carried) => carried,
            Err(error) => return (answers, vec![error.into()]),
        };
        // The cells are read after the generations, as for one key.
        let mut moved = HashSet::new();
        if !carried.is_empty() {
            let cells: HashSet<String> = carried.keys().map(Names::cell_field).collect();
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            match patience.spend(self.epoch_fields(&cells)).await {
                Ok(now) if now.is_of(epoch) => {
                    let differ = cells.iter().filter(|cell| now.count(cell) != epoch.count(cell));
                    moved.extend(differ.map(|cell| (*cell).to_owned()));
                }
                Ok(_) => moved.extend(cells.into_iter().map(str::to_owned)),
                Err(error) => return (answers, vec![error.into()]),
            }
        }
        let (mut items, mut stored) = (Vec::with_capacity(fills.len()), Vec::with_capacity(fills.len()));
        for (index, fill) in fills.into_iter().enumerate() {
            if fill.new.tags.iter().any(|tag| moved.contains(&Names::cell_field(tag))) {
                answers[index] = Some(Filled::Refused);
                continue;
            }
            let (id, ttl) = (fill.new.id, millis(fill.new.ttl));
            match Self::encode_with(fill.new, epoch, &carried) {
                Ok(entry) => {
                    let bytes = entry.len();
                    let args = vec![fill.fence.into(), entry.into(), ttl];
                    items.push(Item { names: self.pair(&fill.key), args, bytes });
                    stored.push((index, id));
                }
                Err(error) => failures.push(Impatience::Failed(error.into())),
            }
        }
        let filled = run_many(&self.client, &self.scripts.fill_many, &[], items, 1, patience).await;
        for ((index, id), answer) in stored.into_iter().zip(filled.answers) {
            answers[index] = answer.map(|answer| if is_one(&answer) { Filled::Stored(id) } else { Filled::Refused });
        }
        failures.extend(filled.failures.into_iter().map(Into::into));
        (answers, failures)
    }

    /// Stores values of a caller unconditionally. Returns for each key whether it is stored.
    ///
    /// Keys of one server do not wait for another, so a server that hangs fails only its own keys.
    pub(super) async fn put_many(
        &self,
        puts: Vec<(Key, New)>,
        patience: &mut Patience,
    ) -> (Vec<bool>, Vec<Impatience<Failure>>) {
        let _changing = self.changing(puts.iter().map(|(key, _)| key));
        let (mut done, mut failures) = (vec![false; puts.len()], Vec::new());
        let mut groups: BTreeMap<Vec<String>, Vec<Put>> = BTreeMap::new();
        for (index, (key, new)) in puts.into_iter().enumerate() {
            let names = [self.names.value(&key), self.names.fence(&key)];
            groups.entry(self.needed_by(&names[0], &new)).or_default().push(Put { index, names, new });
        }
        let started = Instant::now();
        let stored = groups.into_values().map(|group| {
            let mut patience = patience.clone();
            async move { self.put_group(group, &mut patience).await }
        });
        for (stored, failed) in join_all(stored).await {
            stored.into_iter().for_each(|index| done[index] = true);
            failures.extend(failed);
        }
        patience.charge(started.elapsed());
        (done, failures)
    }

    /// Returns the servers that are needed to store this, besides that of the epoch.
    fn needed_by(&self, name: &str, new: &New) -> Vec<String> {
        if self.client.topology() != Topology::Cluster {
            return Vec::new();
        }
        let tags = new.tags.iter().map(|tag| self.server_of(&self.names.generation(tag)));
        let mut servers: Vec<String> = tags.chain([self.server_of(name)]).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    /// Returns the indexes of the stored values.
    async fn put_group(&self, puts: Vec<Put>, patience: &mut Patience) -> (Vec<usize>, Vec<Impatience<Failure>>) {
        let (started, [mut one, mut two, mut three]) = (Instant::now(), [(); 3].map(|()| patience.clone()));
        let names: Vec<&str> = puts.iter().map(|put| put.names[0].as_str()).collect();
        let bounds = one.spend(self.bounds(&names, patience.left()));
        let carried = two.spend(self.carry(puts.iter().map(|put| &put.new)));
        let (carried, epoch, bounds) = join3(carried, three.spend(self.open_epoch()), bounds).await;
        // Charged once, for the longest of the three.
        patience.charge(started.elapsed());
        let (carried, epoch, bounds) = match (carried, epoch, bounds) {
            (Ok(carried), Ok(epoch), Ok(bounds)) => (carried, epoch, bounds),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return (Vec::new(), vec![error.into()]),
        };
        let (mut items, mut indexes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for Put { index, names, new } in puts {
            let ttl = millis(new.ttl);
            match Self::encode_with(new, &epoch, &carried) {
                Ok(entry) => {
                    let (bytes, bound) = (entry.len(), bounds.of(self, &names[0]));
                    items.push(Item { names: names.into(), args: vec![entry.into(), ttl, bound.into()], bytes });
                    indexes.push(index);
                }
                Err(error) => failures.push(Impatience::Failed(error.into())),
            }
        }
        let values = values_of(&items);
        let mut put = run_many(&self.client, &self.scripts.put_many, &[], items, 1, patience).await;
        self.tell(&values, &mut put, patience).await;
        failures.extend(put.failures.into_iter().map(Into::into));
        let is_done = |answer: Option<Vec<Value>>| answer.is_some_and(|answer| is_one(&answer));
        let done = indexes.into_iter().zip(put.answers).filter_map(|(index, answer)| is_done(answer).then_some(index));
        (done.collect(), failures)
    }

    /// Deletes values and fences. Returns for each key whether it is done.
    pub(super) async fn forget_many(&self, keys: &[&Key], patience: &mut Patience) -> Answered<()> {
        let _changing = self.changing(keys.iter().copied());
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            items.push(Item { names: self.pair(key), args: Vec::new(), bytes: 0 });
        }
        let values = values_of(&items);
        let mut forgotten = run_many(&self.client, &self.scripts.forget_many, &[], items, 1, patience).await;
        self.tell(&values, &mut forgotten, patience).await;
        let answers = forgotten.answers.into_iter().map(|answer| answer.map(|_| ())).collect();
        Answered { answers, failures: forgotten.failures }
    }

    /// Notifies the other processes of changes. If that fails, the change counts as not done.
    async fn tell<T>(&self, values: &[String], changed: &mut Answered<T>, patience: &mut Patience) {
        let done = values.iter().zip(&changed.answers).filter(|(_, answer)| answer.is_some());
        let names: Vec<&str> = done.map(|(value, _)| value.as_str()).collect();
        if let Err(error) = patience.spend(self.ways.tell_all(&names)).await {
            changed.answers.iter_mut().for_each(|answer| *answer = None);
            changed.failures.push(error);
        }
    }

    /// Deletes values and fences, each step bounded by the client's time-out alone.
    ///
    /// After an error it is not known which keys L2 has processed.
    pub(super) async fn forget_all(&self, keys: &[&Key]) -> Result<(), Error> {
        if let [key] = keys {
            return self.forget(key).await;
        }
        self.forget_many(keys, &mut Patience::new(FOREVER)).await.heard()
    }

    /// Gives fences back. Returns for each key whether its fence was still in force.
    pub(super) async fn release_many(&self, fences: &[(Key, String)], patience: &mut Patience) -> Answered<bool> {
        let mut items = Vec::with_capacity(fences.len());
        for (key, fence) in fences {
            items.push(Item { names: vec![self.names.fence(key)], args: vec![fence.into()], bytes: 0 });
        }
        let released = run_many(&self.client, &self.scripts.release_many, &[], items, 1, patience).await;
        let answers = released.answers.into_iter().map(|answer| answer.map(|answer| is_one(&answer))).collect();
        Answered { answers, failures: released.failures }
    }

    /// Whether the keys hold exactly these entries.
    pub(super) async fn hold_many(&self, keys: &[(&Key, EntryId)], patience: &mut Patience) -> Answered<bool> {
        let mut items = Vec::with_capacity(keys.len());
        for (key, _) in keys {
            items.push(Item { names: vec![self.names.value(key)], args: Vec::new(), bytes: 0 });
        }
        let common = [Arg::from(HEAD - 1)];
        let heads = run_many(&self.client, &self.scripts.heads, &common, items, 1, patience).await;
        let is_same = |(answer, (_, id)): (Option<Vec<Value>>, &(&Key, EntryId))| {
            let head = answer?.pop()?.into_bytes().ok()?;
            Some(head[..] == id.head())
        };
        Answered { answers: heads.answers.into_iter().zip(keys).map(is_same).collect(), failures: heads.failures }
    }

    /// Generations of all tags to be carried, created if missing, for the longest lifetime.
    async fn carry(&self, news: impl Iterator<Item = &New>) -> Result<HashMap<Tag, Bytes>, Error> {
        let mut longest: HashMap<Tag, Duration> = HashMap::new();
        for new in news {
            for tag in &new.tags {
                let ttl = longest.entry(tag.clone()).or_default();
                *ttl = (*ttl).max(new.ttl);
            }
        }
        let mut reads = Vec::with_capacity(longest.len());
        for (tag, ttl) in &longest {
            reads.push(self.generations(std::slice::from_ref(tag), *ttl));
        }
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    fn encode_with(
        new: New,
        epoch: &Epoch,
        carried: &HashMap<Tag, Bytes>,
    ) -> Result<Vec<u8>, crate::codec::CodecError> {
        let tags = new.tags.iter().map(|tag| (tag.clone(), carried.get(tag).cloned().unwrap_or_default())).collect();
        new.encode(epoch, tags)
    }

    pub(super) fn pair(&self, key: &Key) -> Vec<String> {
        vec![self.names.value(key), self.names.fence(key)]
    }
}

/// Returns the names of the values that these items change.
pub(super) fn values_of(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(|item| item.names.first().cloned()).collect()
}

fn seen(values: Vec<Value>, fence: &str) -> Result<Seen, Error> {
    let mut values = values.into_iter();
    let value = values.next().unwrap_or(Value::Nil).into_optional_bytes()?;
    let second = values.next().unwrap_or(Value::Nil);
    let Some(bytes) = value else {
        let in_force = second.into_text()?;
        return Ok(Seen::Done(Looked::Fenced { is_first: in_force == fence, fence: in_force }));
    };
    // Negative if it has no expiry. This crate never writes such an entry.
    let left = Duration::from_millis(u64::try_from(second.as_int()?).unwrap_or_default());
    // A foreign value may be shorter.
    let head = bytes.slice(..bytes.len().min(HEAD));
    Ok(match Entry::decode(&bytes) {
        Ok(entry) => Seen::Entry { entry, left, head },
        Err(error) => Seen::Done(Looked::Unreadable { head, error }),
    })
}

fn is_one(answer: &[Value]) -> bool {
    answer.first().is_some_and(|answer| answer.as_int() == Ok(1))
}

impl From<Impatience<Error>> for Impatience<Failure> {
    fn from(error: Impatience<Error>) -> Self {
        match error {
            Impatience::Failed(error) => Self::Failed(error.into()),
            Impatience::Over(whole) => Self::Over(whole),
        }
    }
}
