//! L2 itself: entries in Redis, each step of the protocol one call.
//!
//! What keeps an old value out:
//!
//! - **Fence.** A load takes part in the fence of its key before it starts; its fill compares and sets on it. To
//!   invalidate a key is to delete value and fence in one step, so a load that began before can't fill. All loads under
//!   one fence began after the last invalidation, so any of them may fill; the first one that does ends the fence.
//! - **Generations.** An entry carries the generation of each tag, of its class and the epoch of everything; the reader
//!   compares for equality. What is missing is invalid, so nothing that a flush or an eviction takes can come back.
//! - **Cells.** The tags of a load are known only at its end. So an invalidation of a tag moves one of 128 cells first
//!   and the generation second, and a load notes the cells at its start, reads the generations at its end and then the
//!   cells again: if a cell of its tags moved, it does not fill.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tidegate_redis::{Arg, Channel, Client, Command, Error, Keyspace, Topology, Value};

use super::entry::{Entry, EntryId, HEAD};
use super::names::Names;
use super::scripts::Scripts;
use super::way::Ways;
use crate::codec::Format;
use crate::key::Key;
use crate::tag::Tag;
use crate::ttl::{LONGEST, TtlClass};

/// The epoch outlives every entry.
pub(super) const EPOCH: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// A generation outlives the entries that carry it by this much at least, so that it is seldom prolonged.
const GENERATION_MARGIN: Duration = Duration::from_secs(60 * 60);

/// L2: entries in Redis or Valkey, shared by all processes with the same [`Keyspace`].
///
/// Give it to [`TieredCacheBuilder::l2`](crate::TieredCacheBuilder::l2).
pub struct RedisTier {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    /// How changes are heard of, and whether they are told of besides.
    pub(super) ways: Ways,
    ids: AtomicU64,
    pub(super) patience: Duration,
    pub(super) wait: Duration,
    pub(super) fence: Duration,
}

impl RedisTier {
    /// A tier behind this client. Needs no round trip.
    pub fn new(client: Client, keyspace: &Keyspace) -> Self {
        let names = Names::new(keyspace);
        Self {
            patience: client.timeout(),
            ways: Ways::new(Channel::new(&client, &names.channel())),
            client,
            names,
            scripts: Scripts::new(),
            ids: AtomicU64::new(rand::random()),
            wait: Duration::from_secs(1),
            fence: Duration::from_secs(120),
        }
    }

    /// The most that one read may wait for Redis, over all of its steps; the client's time-out of a command by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(LONGEST);
        self
    }

    /// How long a miss waits for another process that is loading the same key, before it loads by itself; 1 s by default.
    ///
    /// It only saves work: whoever waited in vain loads and fills under the same fence.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(LONGEST);
        self
    }

    /// How long a fence stands, 120 s by default. A load that takes longer brings its value to its callers only.
    #[must_use]
    pub fn fence(mut self, fence: Duration) -> Self {
        self.fence = fence.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Hears of changes over a channel (pub/sub) from the start, and tells of its own ones there.
    ///
    /// A process that the server refuses `CLIENT TRACKING` does so by itself. Say it in all processes when that is so in some
    /// of them: one that tracks hears those that publish, and is not heard by them. Over a channel only what a process
    /// invalidates or sets here is heard of, no eviction, no expiry and no writes of other programs.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.ways.only_published();
        self
    }

    /// A number that no other fill has.
    pub(super) fn next_id(&self) -> EntryId {
        loop {
            // Every process counts from a random number.
            if let Some(id) = NonZeroU64::new(self.ids.fetch_add(1, Ordering::Relaxed)) {
                return EntryId(id);
            }
        }
    }

    /// Reads a key, or takes part in its load. `reject` is the head of an entry that turned out to be invalid.
    pub(super) async fn look(&self, key: &Key, class: &str, reject: Option<&Bytes>) -> Result<Looked, Error> {
        let fence = format!("{:016x}", self.next_id().0);
        let head = reject.cloned().unwrap_or_default();
        let keys = [self.names.value(key), self.names.fence(key)];
        let args: Vec<Arg> = vec![fence.as_str().into(), millis(self.fence), head.into()];
        let look = self.client.run(&self.scripts.look, &keys, args);
        let (looked, epoch) = join(look, self.epoch_fields(&[&Names::class_field(class)])).await;
        let mut looked = looked?.into_array()?.into_iter();
        let epoch = epoch?;
        let value = looked.next().unwrap_or(Value::Nil).into_optional_bytes()?;
        let second = looked.next().unwrap_or(Value::Nil);
        let Some(bytes) = value else {
            let in_force = second.into_text()?;
            return Ok(Looked::Fenced { is_first: in_force == fence, fence: in_force });
        };
        // Below zero it has no expiry, which nobody here wrote.
        let left = Duration::from_millis(u64::try_from(second.as_int()?).unwrap_or_default());
        // What somebody else wrote may be shorter.
        let head = bytes.slice(..bytes.len().min(HEAD));
        let entry = match Entry::decode(&bytes) {
            Ok(entry) => entry,
            Err(error) => return Ok(Looked::Unreadable { head, error }),
        };
        if self.is_valid(&entry, class, &epoch).await? {
            Ok(Looked::of(entry, left))
        } else {
            Ok(Looked::Invalid { head })
        }
    }

    /// Takes part in the fence of a key, whether it has a value or not.
    pub(super) async fn take_part(&self, key: &Key) -> Result<String, Error> {
        let fence = format!("{:016x}", self.next_id().0);
        let set = Command::new("SET").key(self.names.fence(key)).arg(fence.as_str());
        let set = set.arg("NX").arg("GET").arg("PX").arg(millis(self.fence)).idempotent();
        match self.client.execute(set).await? {
            in_force if in_force.is_nil() => Ok(fence),
            in_force => in_force.into_text(),
        }
    }

    async fn is_valid(&self, entry: &Entry, class: &str, epoch: &Epoch) -> Result<bool, Error> {
        if epoch.id.as_ref() != Some(&entry.epoch) {
            return Ok(false);
        }
        let moves = if entry.class == class {
            epoch.count(&Names::class_field(class))
        } else {
            let field = Names::class_field(&entry.class);
            let theirs = self.epoch_fields(&[&field]).await?;
            if theirs.id != epoch.id {
                return Ok(false);
            }
            theirs.count(&field)
        };
        if moves != entry.class_moves {
            return Ok(false);
        }
        let generations = try_join_all(entry.tags.iter().map(|(tag, _)| self.generation(tag))).await?;
        Ok(entry.tags.iter().zip(generations).all(|((_, carried), now)| now.as_ref() == Some(carried)))
    }

    async fn generation(&self, tag: &Tag) -> Result<Option<Bytes>, Error> {
        self.client.get(&self.names.generation(tag)).await
    }

    /// Only these fields of the epoch, and the epoch itself.
    pub(super) async fn epoch_fields(&self, fields: &[&str]) -> Result<Epoch, Error> {
        let command = Command::new("HMGET").key(self.names.epoch()).arg("e").idempotent();
        let command = fields.iter().fold(command, |command, field| command.arg(*field));
        let mut values = self.client.execute(command).await?.into_array()?.into_iter();
        let id = values.next().unwrap_or(Value::Nil).into_optional_bytes()?;
        let mut epoch = Epoch { id, counts: HashMap::new() };
        for (field, value) in fields.iter().zip(values) {
            if let Some(count) = value.into_optional_bytes()? {
                epoch.counts.insert((*field).to_owned(), number(&count));
            }
        }
        Ok(epoch)
    }

    /// The whole epoch, for a load that starts now.
    pub(super) async fn open_epoch(&self) -> Result<Epoch, Error> {
        let fresh = format!("{:032x}", rand::random::<u128>());
        let args = vec![fresh.into(), millis(EPOCH)];
        let fields = self.client.run(&self.scripts.epoch_open, &[self.names.epoch()], args).await?.into_map()?;
        let mut epoch = Epoch { id: None, counts: HashMap::with_capacity(fields.len()) };
        for (field, value) in fields {
            let (field, value) = (field.into_text()?, value.into_bytes()?);
            if field == "e" {
                epoch.id = Some(value);
            } else {
                epoch.counts.insert(field, number(&value));
            }
        }
        Ok(epoch)
    }

    /// Stores what a load brought, if nothing invalidated it meanwhile.
    pub(super) async fn fill(&self, key: &Key, fence: &str, epoch: &Epoch, new: New) -> Result<Filled, Failure> {
        let tags = self.generations(&new.tags, new.ttl).await?;
        if !tags.is_empty() {
            let cells: Vec<String> = tags.iter().map(|(tag, _)| Names::cell_field(tag)).collect();
            let now = self.epoch_fields(&cells.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            if now.id != epoch.id || cells.iter().any(|cell| now.count(cell) != epoch.count(cell)) {
                return Ok(Filled::Refused);
            }
        }
        let (id, ttl) = (new.id, millis(new.ttl));
        let entry = Self::encode(new, epoch, tags)?;
        let keys = [self.names.value(key), self.names.fence(key)];
        let stored = self.client.run(&self.scripts.fill, &keys, vec![fence.into(), entry.into(), ttl]).await?;
        Ok(if stored.as_int()? == 1 { Filled::Stored(id) } else { Filled::Refused })
    }

    /// Stores what a caller brought, whatever is there.
    pub(super) async fn put(&self, key: &Key, new: New) -> Result<(), Failure> {
        let (tags, epoch) = join(self.generations(&new.tags, new.ttl), self.open_epoch()).await;
        let (epoch, ttl) = (epoch?, millis(new.ttl));
        let entry = Self::encode(new, &epoch, tags?)?;
        let keys = [self.names.value(key), self.names.fence(key)];
        self.client.run(&self.scripts.put, &keys, vec![entry.into(), ttl]).await?;
        Ok(self.ways.tell(&keys[0]).await?)
    }

    pub(super) fn encode(
        new: New,
        epoch: &Epoch,
        tags: Vec<(Tag, Bytes)>,
    ) -> Result<Vec<u8>, crate::codec::CodecError> {
        let class = new.class.name().to_owned();
        let entry = Entry {
            id: new.id,
            class_moves: epoch.count(&Names::class_field(&class)),
            class,
            epoch: epoch.id.clone().unwrap_or_default(),
            grace: new.grace,
            tags,
            codec: new.codec,
            value: new.value,
        };
        entry.encode()
    }

    pub(super) async fn generations(&self, tags: &[Tag], ttl: Duration) -> Result<Vec<(Tag, Bytes)>, Error> {
        let least = ttl.saturating_add(GENERATION_MARGIN);
        let read = tags.iter().map(|tag| async move {
            let args = vec![millis(least), millis(least.saturating_mul(2))];
            let generation = self.client.run(&self.scripts.tag_read, &[self.names.generation(tag)], args).await?;
            Ok::<_, Error>((tag.clone(), generation.into_bytes()?))
        });
        try_join_all(read).await
    }

    /// Gives a fence back; tells whether it was still in force.
    pub(super) async fn release(&self, key: &Key, fence: &str) -> Result<bool, Error> {
        let released = self.client.run(&self.scripts.release, &[self.names.fence(key)], vec![fence.into()]).await?;
        Ok(released.as_int()? == 1)
    }

    /// Deletes value and fence.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), Error> {
        let keys = [self.names.value(key), self.names.fence(key)];
        self.client.run(&self.scripts.forget, &keys, Vec::new()).await?;
        self.ways.tell(&keys[0]).await
    }

    /// Moves the cells of these tags, then their generations: one round trip, in a cluster two.
    pub(super) async fn move_tags(&self, tags: &[&Tag]) -> Result<(), Error> {
        let mut cells: Vec<String> = tags.iter().map(|tag| Names::cell_field(tag)).collect();
        cells.sort_unstable();
        cells.dedup();
        let cells = cells.into_iter().map(Arg::from);
        if self.client.topology() != Topology::Cluster {
            let epoch = self.names.epoch();
            let slot = Client::slot_of(&epoch);
            let pairs = tags.iter().flat_map(|tag| [self.names.generation(tag), self.names.tag_mark(tag)]);
            let all = std::iter::once(epoch).chain(pairs).map(Arg::from).chain(cells).collect();
            // Of several slots, which do not exist on one server.
            self.client.run_in(slot, &self.scripts.tags_move, 1 + 2 * tags.len(), all).await?;
        } else {
            self.client.run(&self.scripts.epoch_move, &[self.names.epoch()], cells.collect()).await?;
            let generations = tags.iter().map(|tag| async move {
                let keys = [self.names.generation(tag), self.names.tag_mark(tag)];
                self.client.run(&self.scripts.tag_move, &keys, Vec::new()).await
            });
            try_join_all(generations).await?;
        }
        try_join_all(tags.iter().map(|tag| async { self.ways.tell(&self.names.tag_mark(tag)).await })).await?;
        Ok(())
    }

    pub(super) async fn move_class(&self, class: &str) -> Result<(), Error> {
        let keys = [self.names.epoch(), self.names.class_mark(class)];
        let args = vec![Names::class_field(class).into()];
        self.client.run(&self.scripts.epoch_move, &keys, args).await?;
        self.ways.tell(&keys[1]).await
    }

    pub(super) async fn move_all(&self) -> Result<(), Error> {
        let keys = [self.names.epoch(), self.names.all_mark()];
        let fresh = format!("{:032x}", rand::random::<u128>());
        let args = vec![fresh.into(), millis(EPOCH)];
        self.client.run(&self.scripts.epoch_new, &keys, args).await?;
        self.ways.tell(&keys[1]).await
    }

    /// Whether what lies under the key is this very entry.
    pub(super) async fn holds(&self, key: &Key, id: EntryId) -> Result<bool, Error> {
        let end = HEAD as u64 - 1;
        let range = Command::new("GETRANGE").key(self.names.value(key)).arg(0_u64).arg(end).idempotent();
        Ok(self.client.execute(range).await?.into_bytes()?[..] == id.head())
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("patience", &self.patience).field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// What a look at a key found.
pub(super) enum Looked {
    Found {
        entry: Entry,
        fresh_for: Duration,
    },
    /// Past its lifetime, in its grace.
    Stale {
        entry: Entry,
        left: Duration,
    },
    /// An entry that is invalid.
    Invalid {
        head: Bytes,
    },
    /// Bytes that are no entry.
    Unreadable {
        head: Bytes,
        error: crate::codec::CodecError,
    },
    /// Nothing, and the fence to load under; whether nobody took part in it before.
    Fenced {
        fence: String,
        is_first: bool,
    },
}

impl Looked {
    /// An entry that is valid, and for how much longer Redis keeps it.
    pub(super) fn of(entry: Entry, left: Duration) -> Self {
        match left.checked_sub(entry.grace) {
            Some(fresh_for) if !fresh_for.is_zero() => Self::Found { entry, fresh_for },
            _ => Self::Stale { entry, left },
        }
    }
}

/// What is about to be stored.
pub(crate) struct New {
    pub(crate) id: EntryId,
    pub(super) class: TtlClass,
    pub(super) tags: Vec<Tag>,
    /// How long Redis keeps it, the grace at the end included.
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    pub(super) codec: Format,
    pub(super) value: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Stored(EntryId),
    Refused,
}

/// Why something could not be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Redis(#[from] Error),
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
}

/// What the key `ce` said at one moment.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    id: Option<Bytes>,
    counts: HashMap<String, u64>,
}

impl Epoch {
    /// Whether an entry that carries this epoch belongs to it.
    pub(super) fn is(&self, carried: &Bytes) -> bool {
        self.id.as_ref() == Some(carried)
    }

    /// Whether both are moments of one epoch.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// With other fields as well; of another epoch they make it one to which no entry belongs.
    pub(super) fn with(mut self, other: Self) -> Self {
        if self.id != other.id {
            self.id = None;
        }
        self.counts.extend(other.counts);
        self
    }

    pub(super) fn count(&self, field: &str) -> u64 {
        self.counts.get(field).copied().unwrap_or_default()
    }
}

/// A count as Redis writes it. What is no count is foreign and equals nothing that was counted.
fn number(digits: &Bytes) -> u64 {
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> Arg {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1).into()
}
