//! Reads from replicas whose lag is known to be small.

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

/// Checks of a replica per lag: three of them may fail before it is not read any more.
const LOOKS: u32 = 4;
/// The shortest time between two checks.
const SHORTEST: Duration = Duration::from_millis(20);
/// The longest time between two checks. After it, a replica that is distrusted because of one lost
/// answer is usable again.
const LONGEST: Duration = Duration::from_secs(1);
/// Time before a new attempt to reach an unreachable replica.
const PAUSE: Duration = Duration::from_secs(5);

/// The replicas of a [`Client`]'s primaries. A replica is read only while it is known to have all
/// data that its primary had a moment ago.
///
/// Every primary is asked for its replicas and its replication offset, with or without Sentinels
/// and in a cluster. Each replica is asked for its offset. Once the replica reaches an offset, it
/// has all data that the primary had when it reported that offset; clocks are not compared. A
/// replica is not read if it has not shown this for longer than the lag, follows another history
/// than the primary, or has lost its primary. It is also not read if a request is unanswered for an
/// eighth of the client's time-out, until it answers again.
///
/// Replicas are reached at the address and port that their primary reports (`replica-announce-ip`,
/// `replica-announce-port`), with the same login. Dropping this value closes the connections.
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
    /// Addresses to which a connection is being opened, or was tried recently.
    opening: Mutex<HashSet<Address>>,
    turn: AtomicUsize,
}

impl Replicas {
    /// Finds and watches the replicas. Each is read while its lag is at most `lag`. Needs a Tokio
    /// runtime, but no round trip: there are no replicas until the first answers.
    ///
    /// Costs two short commands per server (in a cluster three per replica), four times per lag.
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

    /// Number of replicas that can be read now.
    pub fn count(&self) -> usize {
        let now = Instant::now();
        self.shared.all().iter().filter(|known| known.is_close(now, self.shared.lag, self.shared.timeout)).count()
    }

    /// Runs a read-only script on a replica of the slot's primary. `all` contains the keys, `count`
    /// of them, followed by the arguments. The data is no older than the lag.
    ///
    /// # Errors
    /// Kind `Unavailable` if no replica is close enough. Otherwise the [`Error`] of the replica,
    /// which is then not read until it has shown its offset again.
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

/// Checks each primary once per pause, and after its answer its replicas. A server that has not
/// answered the last check is not asked again, and does not delay the others.
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
                    // Without an answer, the last state stays valid until the lag is over.
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

/// Asks a primary for its offset and its replicas.
async fn ask(primary: Shard, bound: Duration) -> (Shard, Instant, Option<AsPrimary>) {
    let asked = Instant::now();
    let story = Story::of(primary.connection(), bound).await;
    (primary, asked, story.as_ref().and_then(Story::as_primary))
}

impl Shared {
    /// Updates the replicas of a primary.
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

    /// Connects in the background: an unreachable replica must not delay the others.
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
        // Round robin; skips replicas that are too far behind.
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
