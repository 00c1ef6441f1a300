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
//! - **Memory.** Loads and fills ask Redis for epoch, generations and cells each time. A hit compares with what Redis said of them
//!   less than a second ago (`recall`), unless word of a move has come since or this process has made one: so a process always
//!   sees its own invalidations, and others' as soon as word of them comes. Without words there is no memory.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tidegate_redis::{Arg, Channel, Client, Command, Error, Keyspace, Script};

use super::bound::Bounded;
use super::entry::{Entry, EntryId};
use super::epoch::Epoch;
use super::names::Names;
use super::recall::Recall;
use super::replicas::{ReplicaReads, WINDOW};
use super::scripts::Scripts;
use super::way::Ways;
use crate::codec::Format;
use crate::key::Key;
use crate::tag::Tag;
use crate::ttl::{LONGEST, TtlClass};

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
    /// First of the ids.
    first_id: u64,
    pub(super) patience: Duration,
    pub(super) wait: Duration,
    pub(super) fence: Duration,
    pub(super) replicas: Option<ReplicaReads>,
    pub(super) recall: Recall,
}

impl RedisTier {
    /// A tier behind this client. Needs no round trip.
    pub fn new(client: Client, keyspace: &Keyspace) -> Self {
        let (names, first_id) = (Names::new(keyspace), rand::random());
        Self {
            patience: client.timeout(),
            ways: Ways::new(Channel::new(&client, &names.channel())),
            client,
            names,
            scripts: Scripts::new(),
            ids: AtomicU64::new(first_id),
            first_id,
            wait: Duration::from_secs(10),
            fence: Duration::from_secs(120),
            replicas: None,
            recall: Recall::default(),
        }
    }

    /// The most that one read may wait for Redis, over all of its steps; the client's time-out of a command by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(LONGEST);
        self
    }

    /// Maximum time for which a miss waits for another process that is loading the same key, before
    /// it loads by itself; 10 s by default. A class can set its own: [`TtlClass::load_wait`].
    ///
    /// A process renews its lease on the keys that it loads, twice a second. A miss stops waiting
    /// once the lease has not been renewed for 2 s, as when that process is dead: one of the
    /// processes that wait then takes over, the others wait for it. Waiting only saves work. A
    /// process that waited in vain loads and fills under the same fence.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(LONGEST);
        self
    }

    /// How long a fence stands, 120 s by default. A load renews it while it runs.
    ///
    /// It must be the same in all processes, since what is left of it shows when it was renewed. A
    /// process with a longer fence than the others takes over their loads too early; one with a
    /// shorter fence notices their dead loads late or never. With a fence below 2 s no process
    /// notices dead loads before the fence has expired.
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

    /// Reads values from replicas where there are any, from the primary else. Off by default.
    ///
    /// Replicas are found by asking each primary, with or without Sentinels and in a cluster. What entries carry (epoch,
    /// class, generations of tags) is still asked of the primary, so invalidations of tags, classes and everything hold as
    /// ever; so does every write. An invalidation of a **key or a pattern** holds from the moment when this process has
    /// made it or heard of it: for the [lag window](Self::lag_window) it reads from the primary what was touched, and it
    /// reads no replica that is not known to have all that its primary had a window ago.
    ///
    /// What is given up: until word of another process's change has come, mostly within a millisecond, a read may find in a
    /// replica what is gone from the primary. It does not stay in L1, since the word makes this process compare. And what is
    /// not told of is late by as much as the replica: over a channel ([`published`](Self::published)) that is what other
    /// programs write. While changes are not heard of, everything is read from the primary. A miss costs a round trip more.
    #[must_use]
    pub fn read_replicas(mut self) -> Self {
        self.replicas.get_or_insert_with(|| ReplicaReads::new(WINDOW));
        self
    }

    /// Reads values from replicas, as [`read_replicas`](Self::read_replicas) does, with a lag window of this length in place
    /// of 1 s: for so long, up to twice, a key that was touched is read from the primary, and no replica is read that may be
    /// further behind.
    #[must_use]
    pub fn lag_window(mut self, window: Duration) -> Self {
        self.replicas = Some(ReplicaReads::new(window));
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

    /// Whether this process took the fence first.
    pub(super) fn is_own(&self, fence: &str) -> bool {
        let given_out = self.ids.load(Ordering::Relaxed).wrapping_sub(self.first_id);
        u64::from_str_radix(fence, 16).is_ok_and(|id| id.wrapping_sub(self.first_id) < given_out)
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

    /// Stores what a load brought, if nothing invalidated it meanwhile.
    pub(super) async fn fill(&self, key: &Key, fence: &str, epoch: &Epoch, new: New) -> Result<Filled, Failure> {
        let tags = self.generations(&new.tags, new.ttl).await?;
        if !tags.is_empty() {
            let cells: Vec<String> = tags.iter().map(|(tag, _)| Names::cell_field(tag)).collect();
            let now = self.epoch_fields(&cells.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            if !now.is_of(epoch) || cells.iter().any(|cell| now.count(cell) != epoch.count(cell)) {
                return Ok(Filled::Refused);
            }
        }
        let (id, ttl) = (new.id, millis(new.ttl));
        let entry = Self::encode(new, epoch, tags)?;
        let keys = [self.names.value(key), self.names.fence(key)];
        let _changing = self.changing([key]);
        let stored = self.client.run(&self.scripts.fill, &keys, vec![fence.into(), entry.into(), ttl]).await?;
        Ok(if stored.as_int()? == 1 { Filled::Stored(id) } else { Filled::Refused })
    }

    /// Stores what a caller brought, whatever is there, but not when more than `left` has passed.
    pub(super) async fn put(&self, key: &Key, new: New, left: Duration) -> Result<(), Failure> {
        self.put_by(&self.scripts.put, key, new, left).await
    }

    /// As [`put`](Self::put), by that script.
    pub(super) async fn put_by(&self, script: &Script, key: &Key, new: New, left: Duration) -> Result<(), Failure> {
        let Bounded { keys, entry, ttl, bound } = self.bounded(key, new, left).await?;
        let _changing = self.changing([key]);
        let stored = self.client.run(script, &keys, vec![entry, ttl, bound]).await?;
        if stored.as_int()? != 1 {
            return Err(Failure::Late);
        }
        Ok(self.ways.tell(&keys[0]).await?)
    }

    pub(super) fn encode(
        new: New,
        epoch: &Epoch,
        tags: Vec<(Tag, Bytes)>,
    ) -> Result<Vec<u8>, crate::codec::CodecError> {
        let class = new.class.name();
        let entry = Entry {
            id: new.id,
            class_moves: epoch.count(&Names::class_field(class)),
            class: Bytes::from_static(class.as_bytes()),
            epoch: epoch.id(),
            life: new.ttl,
            grace: new.grace,
            tags,
            codec: new.codec,
            value: new.value,
            date: 0,
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
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("patience", &self.patience).field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// What is about to be stored.
#[derive(Clone)]
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
    #[error("it came to Redis when its sender had given up")]
    Late,
}

pub(super) fn millis(duration: Duration) -> Arg {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1).into()
}
