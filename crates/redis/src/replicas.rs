//! Reads from replicas that are known to be close behind their primary.

mod known;

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::known::{AsPrimary, Known, Story};
use crate::client::Client;
use crate::command::Arg;
use crate::config::{Config, Topology};
use crate::error::Error;
use crate::script::Script;
use crate::shards::{Address, Connection, Shard, Shards};
use crate::value::Value;

/// Looks at each replica while it may be that far behind: three of them may fail before it is not read any more.
const LOOKS: u32 = 4;
/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(20);
/// The longest: after it a replica that was doubted for one lost answer is known to be well again.
const LONGEST: Duration = Duration::from_secs(1);
/// Before a replica that could not be reached is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The replicas of a [`Client`]'s primaries, read only while each is known to have all that its primary had a moment ago.
///
/// Every primary is asked who its replicas are, with or without Sentinels and in a cluster, and how far its replication has
/// come; the replica is asked how far it has come. What the primary had said by a certain time, the replica has when it has
/// come so far, however their clocks go. One that has not shown that for longer than the lag, follows
/// another history than the primary's, or has lost its primary, is not read; nor is one that was asked and has not answered for an eighth of the
/// client's time-out, until it answers again.
///
/// They are reached under the address and port that their primary knows (`replica-announce-ip`, `replica-announce-port`), with
/// the same login. Dropping it ends the connections.
pub struct Replicas {
    shared: Arc<Shared>,
    watcher: JoinHandle<()>,
}

struct Shared {
    shards: Shards,
    config: Config,
    timeout: Duration,
    lag: Duration,
    known: RwLock<Vec<Arc<Known>>>,
    /// Addresses to which a connection is on its way, or was tried a moment ago.
    opening: Mutex<HashSet<Address>>,
    turn: AtomicUsize,
}

impl Replicas {
    /// Finds and watches the replicas, each of which is read while it is at most `lag` behind. Needs a runtime, and no round
    /// trip: until something is known there is none.
    ///
    /// It costs two short commands to each server, in a cluster three to a replica, four times while the lag passes.
    pub fn of(client: &Client, lag: Duration) -> Self {
        let shared = Arc::new(Shared {
            shards: client.shards().clone(),
            config: client.config().clone(),
            timeout: client.timeout(),
            lag,
            known: RwLock::default(),
            opening: Mutex::default(),
            turn: AtomicUsize::new(0),
        });
        let watcher = tokio::spawn(watch(Arc::downgrade(&shared), (lag / LOOKS).clamp(SHORTEST, LONGEST)));
        Self { shared, watcher }
    }

    /// How many can be read now.
    pub fn count(&self) -> usize {
        let now = Instant::now();
        self.shared.all().iter().filter(|known| known.is_close(now, self.shared.lag, self.shared.timeout)).count()
    }

    /// Runs a script that only reads on a replica of the slot's primary; `all` are the keys, `count` of them, then the
    /// arguments. What it reads is no older than the lag.
    ///
    /// # Errors
    /// Kind `Unavailable` when no replica is known to be close enough, or the [`Error`] of the one that was asked, which is
    /// not asked again before it has shown anew how far it is.
    pub async fn run_in(&self, slot: u16, script: &Script, count: usize, all: Vec<Arg>) -> Result<Value, Error> {
        let Some(known) = self.shared.close_to(slot) else { return Err(Error::unavailable()) };
        known.run(script, count, all).await
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("lag", &self.shared.lag).field("count", &self.count()).finish_non_exhaustive()
    }
}

/// Looks at each primary once in a pause, and behind its answer at its replicas. Who has not answered the last look is not asked
/// again, and holds up nobody else.
async fn watch(shared: Weak<Shared>, pause: Duration) {
    let (mut primaries, mut replicas) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut asked = HashSet::new();
    loop {
        let Some(now) = shared.upgrade() else { return };
        let shards = now.shards.all();
        now.change(|known| known.retain(|known| shards.iter().any(|shard| known.is_of(shard))));
        let new = shards.into_iter().filter(|shard| asked.insert(shard.address().clone()));
        primaries.extend(new.map(|shard| ask(shard, now.timeout)));
        drop(now);
        let mut rest = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut rest => break,
                Some((primary, at, told)) = primaries.next() => {
                    asked.remove(primary.address());
                    let Some(now) = shared.upgrade() else { return };
                    // Without an answer what is known goes on counting, until the lag is over.
                    let Some(told) = told.map(Arc::new) else { continue };
                    now.hear(&primary, &told);
                    let known = now.all().into_iter().filter(|known| known.is_of(&primary));
                    let looks = known.filter_map(Known::begin_look);
                    replicas.extend(looks.map(|look| look.run(at, Arc::clone(&told), now.timeout, now.is_cluster())));
                }
                Some(()) = replicas.next() => {}
            }
        }
    }
}

/// Asks a primary how far it is, and who follows it.
async fn ask(primary: Shard, bound: Duration) -> (Shard, Instant, Option<AsPrimary>) {
    let asked = Instant::now();
    let story = Story::of(primary.connection(), bound).await;
    (primary, asked, story.as_ref().and_then(Story::as_primary))
}

impl Shared {
    /// Takes in who follows a primary.
    fn hear(self: &Arc<Self>, primary: &Shard, told: &AsPrimary) {
        self.change(|known| known.retain(|known| !known.is_of(primary) || told.replicas.contains(known.address())));
        for address in &told.replicas {
            if !self.all().iter().any(|known| known.is_of(primary) && known.address() == address) {
                self.meet(primary, address);
            }
        }
    }

    fn is_cluster(&self) -> bool {
        self.config.topology() == Topology::Cluster
    }

    /// Connects in the background: one that can't be reached must not hold up the others.
    fn meet(self: &Arc<Self>, primary: &Shard, address: &Address) {
        if !self.opening().insert(address.clone()) {
            return;
        }
        let (shared, primary, address) = (Arc::downgrade(self), primary.clone(), address.clone());
        let (config, bound) = (self.config.clone(), self.timeout);
        tokio::spawn(async move {
            let opened = Connection::open(&config, Some(&address), bound).await;
            if let Err(error) = &opened {
                tracing::warn!(%address, %error, "no connection to a replica");
                sleep(PAUSE).await;
            }
            let Some(shared) = shared.upgrade() else { return };
            if let Ok(connection) = opened {
                let new = Known::new(address.clone(), primary, connection);
                shared.change(|known| known.push(new));
            }
            shared.opening().remove(&address);
        });
    }

    fn close_to(&self, slot: u16) -> Option<Arc<Known>> {
        let slot = if self.is_cluster() { slot } else { 0 };
        let (primary, now) = (self.shards.of(slot)?, Instant::now());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        // Each in its turn, and the next one where that is too far behind.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = known.iter().cycle().skip(turn % known.len().max(1)).take(known.len());
        in_turn.filter(|known| known.is_of(&primary)).find(|known| known.is_close(now, self.lag, self.timeout)).cloned()
    }

    fn all(&self) -> Vec<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Known>>)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn opening(&self) -> MutexGuard<'_, HashSet<Address>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
