//! Reads of many keys. Their entries are compared with the epoch and the generations of tags.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tidegate_redis::{Arg, Command, Error, Topology, Value};

use crate::key::Key;
use crate::l2::entry::{Entry, HEAD};
use crate::l2::epoch::Epoch;
use crate::l2::look::Looked;
use crate::l2::names::Names;
use crate::l2::patience::{Impatience, Patience};
use crate::l2::steps::{Answered, BYTES, Item, run_many};
use crate::l2::tier::{RedisTier, millis};
use crate::tag::Tag;

/// Number of tags whose generations one command reads.
const TAGS: usize = 256;

/// Result of a read before its tags are compared.
pub(in crate::l2) enum Seen {
    Entry { entry: Entry, left: Duration, head: Bytes },
    Done(Looked),
}

impl Seen {
    /// Reply of a replica. `None` if it is not an entry.
    pub(in crate::l2) fn peeked(values: Vec<Value>) -> Option<Self> {
        let mut values = values.into_iter();
        let bytes = values.next()?.into_optional_bytes().ok()??;
        let left = Duration::from_millis(u64::try_from(values.next()?.as_int().ok()?).unwrap_or_default());
        let entry = Entry::decode(&bytes).ok()?;
        Some(Self::Entry { entry, left, head: bytes.slice(..bytes.len().min(HEAD)) })
    }
}

/// A key to read, with the head of an entry that is known to be invalid.
pub(in crate::l2) struct Look<'a> {
    pub(in crate::l2) key: &'a Key,
    pub(in crate::l2) reject: Option<Bytes>,
}

impl RedisTier {
    /// Reads keys. With a `fence`, also joins the loads of keys that have no value.
    pub(in crate::l2) async fn look_many(
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
    pub(in crate::l2) async fn judge(
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
    pub(in crate::l2) async fn current(&self, tags: Vec<Tag>) -> Result<HashMap<Tag, Bytes>, Error> {
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
