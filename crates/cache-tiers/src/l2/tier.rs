//! L2 itself: entries in Redis. Each step of the protocol is one call.
//!
//! These keep an old value out:
//!
//! - **Fence.** A load takes part in the fence of its key before it starts. Its fill compares the
//!   fence and sets the value in one step. An invalidation of a key deletes value and fence in one
//!   step, so a load that began before it cannot fill. All loads under one fence began after the
//!   last invalidation, so any of them may fill. The first fill ends the fence.
//! - **Generations.** An entry carries the generation of each tag, of its class and the epoch of
//!   everything. The reader compares for equality. A missing generation makes the entry invalid, so
//!   nothing that a flush or an eviction removes can come back.
//! - **Cells.** The tags of a load are known only at its end. So an invalidation of a tag moves one
//!   of 128 cells first and the generation second. A load notes the cells at its start, reads the
//!   generations at its end, and then reads the cells again. If a cell of its tags moved, it does
//!   not fill.
//! - **Memory.** Loads and fills query Redis for epoch, generations and cells each time. A hit
//!   compares with what Redis replied less than a second ago (`recall`), unless a notice of a move
//!   has come since or this process has made one. So a process always sees its own invalidations,
//!   and those of others as soon as the notice arrives. Without notices, nothing is remembered.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_redis::{Arg, Channel, Client, Error, Keyspace};

use super::entry::EntryId;
use super::names::Names;
use super::recall::Recall;
use super::replicas::{ReplicaReads, WINDOW};
use super::scripts::Scripts;
use super::way::Ways;
use crate::ttl::LONGEST;

/// L2: entries in Redis or Valkey, shared by all processes with the same [`Keyspace`].
///
/// Give it to `TieredCacheBuilder::l2`.
pub struct RedisTier {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    /// How this process receives changes, and whether it also publishes them.
    pub(super) ways: Ways,
    ids: AtomicU64,
    /// The first id.
    first_id: u64,
    pub(super) patience: Duration,
    pub(super) wait: Duration,
    pub(super) fence: Duration,
    pub(super) replicas: Option<ReplicaReads>,
    pub(super) recall: Recall,
}

impl RedisTier {
    /// Creates a tier behind this client. Needs no round trip.
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

    /// Maximum total time that one read waits for Redis, over all of its steps. The default is the
    /// client's time-out of a command.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(LONGEST);
        self
    }

    /// Maximum time for which a miss waits for another process that is loading the same key, before
    /// it loads by itself; 10 s by default. A class can set its own:
    /// [`TtlClass::load_wait`](crate::TtlClass::load_wait).
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

    /// Receives and publishes changes over a channel (pub/sub) from the start.
    ///
    /// A process whose server refuses `CLIENT TRACKING` does so automatically. If that is so in
    /// some processes, set it in all of them: a process that tracks receives the changes of
    /// processes that publish, but they do not receive its changes. Over a channel, a process
    /// receives only what processes invalidate or set through this crate: no eviction, no expiry
    /// and no writes of other programs.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.ways.only_published();
        self
    }

    /// Reads values from replicas if there are any, else from the primary. Off by default.
    ///
    /// Replicas are found by querying each primary, with or without Sentinels and in a cluster.
    /// What entries carry (epoch, class, generations of tags) is still read from the primary. So
    /// invalidations of tags, classes and everything hold as before, and so does every write. An
    /// invalidation of a **key or a pattern** holds from the moment when this process has made it
    /// or received its notice. For the [lag window](Self::lag_window), it reads the touched keys
    /// from the primary. It reads no replica that is not known to have everything that its primary
    /// had one window ago.
    ///
    /// Cost: until the notice of another process's change arrives, mostly within a millisecond, a
    /// read may find in a replica a value that the primary no longer has. That value does not stay
    /// in L1, because the notice makes this process compare. Changes without a notice are late by
    /// the lag of the replica: over a channel ([`published`](Self::published)) these are the writes
    /// of other programs. While this process receives no notices, everything is read from the
    /// primary. A miss costs one more round trip.
    #[must_use]
    pub fn read_replicas(mut self) -> Self {
        self.replicas.get_or_insert_with(|| ReplicaReads::new(WINDOW));
        self
    }

    /// Reads values from replicas, like [`read_replicas`](Self::read_replicas), with a lag window
    /// of this length in place of 1 s. For one to two windows, a touched key is read from the
    /// primary. No replica is read that may be further behind than the window.
    #[must_use]
    pub fn lag_window(mut self, window: Duration) -> Self {
        self.replicas = Some(ReplicaReads::new(window));
        self
    }

    /// Returns an id that no other fill has.
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
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("patience", &self.patience).field("wait", &self.wait).finish_non_exhaustive()
    }
}

pub(super) fn millis(duration: Duration) -> Arg {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1).into()
}

/// Whether another program stores another type under the key. It counts as no value.
pub(super) fn is_foreign(error: &Error) -> bool {
    error.code() == Some("WRONGTYPE")
}
