//! The connections to the servers, and in a cluster the table of slots.
//!
//! fred's cluster mode is not used. While a slot migrates, it takes another command's reply for its
//! `ASKING`, so all later replies of the connection go to the wrong commands. While one server is
//! down, it serves no other. So each server has a fred client; `MOVED` and `ASK` are followed here.

mod address;
mod connection;
mod detached;
mod failure;
mod lane;
mod redirect;
mod shard;
mod storm;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use fred::error::{Error as FredError, ErrorKind as Fred};
use fred::types::Value as FredValue;
use futures_util::future::join_all;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

pub(crate) use self::address::Address;
pub(crate) use self::connection::Connection;
pub(crate) use self::redirect::Redirect;
pub(crate) use self::shard::Shard;
pub(crate) use self::storm::StormLog;
use self::table::{Range, Table, read_slots};
use crate::availability::Availability;
use crate::config::{Config, Topology};
use crate::error::ConnectError;
use crate::value::Value;

/// Most redirections that a command follows.
const HOPS: u32 = 5;
/// Time between two reads of the table without a hint.
const REFRESH: Duration = Duration::from_secs(5);
/// Shortest time between two reads.
const PAUSE: Duration = Duration::from_millis(100);

/// All primaries. Cheap to clone; the connections close with the last clone.
#[derive(Clone)]
pub(crate) struct Shards {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    timeout: Duration,
    /// Is notified of outages that no caller reports: those of cancelled calls and of heartbeats.
    availability: Availability,
    /// The only primary outside a cluster. It never changes, so commands need no lock.
    single: Option<Shard>,
    table: RwLock<Table>,
    /// Counts the changes of the table.
    version: watch::Sender<u64>,
    /// Held while connecting or reading the table, so that concurrent callers connect once.
    changing: Mutex<()>,
    hint: Arc<Notify>,
    /// The server to read the table from next. It rotates, since an isolated one has an old table.
    turn: AtomicUsize,
    storms: StormLog,
}

impl Shards {
    /// Connects to the only primary, or to all of a cluster. `timeout` is that of each command.
    pub(crate) async fn connect(
        config: &Config,
        timeout: Duration,
        availability: Availability,
    ) -> Result<Self, ConnectError> {
        let single = match config.topology() {
            Topology::Cluster => None,
            Topology::Single | Topology::Sentinel => {
                let connection = Connection::open(config, None, timeout).await?;
                Some(Shard::new(Address::all(config).remove(0), connection))
            }
        };
        let inner = Inner {
            config: config.clone(),
            timeout,
            availability,
            table: RwLock::new(single.clone().map(Table::single).unwrap_or_default()),
            single,
            version: watch::Sender::new(0),
            changing: Mutex::new(()),
            hint: Arc::new(Notify::new()),
            turn: AtomicUsize::new(0),
            storms: StormLog::default(),
        };
        let shards = Self { inner: Arc::new(inner) };
        if config.topology() == Topology::Cluster {
            shards.connect_cluster().await?;
            tokio::spawn(keep_fresh(Arc::downgrade(&shards.inner), shards.inner.hint.clone()));
        }
        Ok(shards)
    }

    /// The known primaries: one, or several in a cluster.
    pub(crate) fn all(&self) -> Vec<Shard> {
        self.read(|table| table.shards.clone())
    }

    /// The primary of the slot, as far as is known.
    pub(crate) fn of(&self, slot: u16) -> Option<Shard> {
        self.read(|table| table.of(slot))
    }

    /// A slot that this primary serves.
    pub(crate) fn slot_of(&self, shard: &Shard) -> Option<u16> {
        self.read(|table| table.slot_of(shard))
    }

    /// The slots that this primary serves.
    pub(crate) fn slots_of(&self, shard: &Shard) -> Vec<u16> {
        self.read(|table| table.slots_of(shard))
    }

    /// Notifies of changes of the table.
    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Sends a command to the slot's primary. Follows redirections: a redirected one did not run.
    pub(crate) async fn send(
        &self,
        slot: u16,
        name: &'static str,
        args: Vec<FredValue>,
    ) -> Result<FredValue, FredError> {
        if let Some(shard) = &self.inner.single {
            return shard.connection().send(name, args).telling(&self.inner.availability, slot).await;
        }
        let Some(shard) = self.of(slot) else {
            self.hint();
            return Err(no_primary(slot));
        };
        self.follow(slot, shard, name, args).await
    }

    /// Reads a string from the slot's primary, like [`send`](Self::send).
    pub(crate) async fn get(&self, slot: u16, key: &str) -> Result<FredValue, FredError> {
        match &self.inner.single {
            Some(shard) => shard.connection().get(key).telling(&self.inner.availability, slot).await,
            None => self.send(slot, "GET", vec![FredValue::from(key)]).await,
        }
    }

    /// Sends two commands to the slot's primary, one directly after the other. If the slot has
    /// moved, reads the table and sends them once more. If it is migrating, they are refused.
    pub(crate) async fn send_both(
        &self,
        slot: u16,
        first: (&'static str, Vec<FredValue>),
        second: (&'static str, Vec<FredValue>),
    ) -> Result<(FredValue, FredValue), FredError> {
        let mut is_second_try = false;
        loop {
            let Some(shard) = self.of(slot) else {
                self.hint();
                return Err(no_primary(slot));
            };
            let sent = shard.connection().send_both((first.0, first.1.clone()), (second.0, second.1.clone()));
            let error = match sent.await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            match Redirect::parse(error.details(), shard.address()) {
                Some(Redirect::Moved { .. }) if is_second_try => return Err(self.storm(2, error.details())),
                Some(Redirect::Moved { .. }) if self.refresh().await => is_second_try = true,
                Some(_) => return Err(FredError::new(Fred::Cluster, "TRYAGAIN the slot is moving to another server")),
                None => return Err(error),
            }
        }
    }

    async fn follow(
        &self,
        slot: u16,
        mut shard: Shard,
        name: &'static str,
        args: Vec<FredValue>,
    ) -> Result<FredValue, FredError> {
        let deadline = Instant::now() + self.inner.timeout;
        let (mut is_asking, mut last) = (false, String::new());
        for _ in 0..=HOPS {
            let sent = async {
                if is_asking {
                    shard.connection().send_asking(name, args.clone()).await
                } else {
                    shard.connection().send(name, args.clone()).telling(&self.inner.availability, slot).await
                }
            };
            let error = match timeout_at(deadline, sent).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => FredError::new(Fred::Timeout, "no reply in time"),
            };
            let target = match Redirect::parse(error.details(), shard.address()) {
                Some(Redirect::Moved { slot, to }) => {
                    self.hint();
                    is_asking = false;
                    let target = self.reach(&to, deadline).await?;
                    self.change(|table| table.set(slot, target.clone()));
                    target
                }
                Some(Redirect::Ask { to }) => {
                    is_asking = true;
                    self.reach(&to, deadline).await?
                }
                None => {
                    if !matches!(error.kind(), Fred::Unknown | Fred::InvalidArgument | Fred::Backpressure) {
                        self.hint();
                    }
                    return Err(error);
                }
            };
            shard = target;
            error.details().clone_into(&mut last);
        }
        Err(self.storm(HOPS + 1, &last))
    }

    /// The error of a command that was redirected too often. It did not run.
    fn storm(&self, redirections: u32, last: &str) -> FredError {
        FredError::new(Fred::Cluster, self.inner.storms.give_up("TRYAGAIN", redirections, last))
    }

    /// The shard at that address. Connects if it is new.
    async fn reach(&self, address: &Address, deadline: Instant) -> Result<Shard, FredError> {
        if let Some(shard) = self.read(|table| table.at(address)) {
            return Ok(shard);
        }
        let connecting = async {
            let _changing = self.inner.changing.lock().await;
            if let Some(shard) = self.read(|table| table.at(address)) {
                return Ok(shard);
            }
            let shard = self.open(address).await.map_err(|error| FredError::new(Fred::IO, error.to_string()))?;
            self.change(|table| table.add(shard.clone()));
            Ok(shard)
        };
        let late = |_| FredError::new(Fred::IO, format!("no connection to {address} in time"));
        timeout_at(deadline, connecting).await.map_err(late)?
    }

    /// Opens another connection to the server of a shard, which it does not share with commands.
    pub(crate) async fn open_again(&self, shard: &Shard) -> Result<Connection, ConnectError> {
        let is_cluster = self.inner.config.topology() == Topology::Cluster;
        Connection::open(&self.inner.config, is_cluster.then(|| shard.address()), self.inner.timeout).await
    }

    /// Reads the table from any server that answers. Returns whether one did.
    pub(crate) async fn refresh(&self) -> bool {
        if self.inner.config.topology() != Topology::Cluster {
            return true;
        }
        let _changing = self.inner.changing.lock().await;
        let mut known = self.all();
        if !known.is_empty() {
            let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed) % known.len();
            known.rotate_left(turn);
        }
        for shard in known {
            if let Some(ranges) = self.ask(shard.connection(), shard.address()).await {
                self.apply(&ranges).await;
                return true;
            }
        }
        // All known servers are gone, but the URL may still be valid.
        for seed in Address::all(&self.inner.config) {
            let Ok(connection) = Connection::open(&self.inner.config, Some(&seed), self.inner.timeout).await else {
                continue;
            };
            if let Some(ranges) = self.ask(&connection, &seed).await {
                self.apply(&ranges).await;
                return true;
            }
        }
        false
    }

    /// Reports that the slot's primary does not answer.
    pub(crate) fn report(&self, slot: u16) {
        self.inner.availability.report(slot);
    }

    /// Reports that the table may be out of date.
    pub(crate) fn hint(&self) {
        self.inner.hint.notify_one();
    }

    async fn connect_cluster(&self) -> Result<(), ConnectError> {
        let mut failure = None;
        for seed in Address::all(&self.inner.config) {
            let connection = match Connection::open(&self.inner.config, Some(&seed), self.inner.timeout).await {
                Ok(connection) => connection,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let answer = connection.send("CLUSTER", vec![FredValue::from_static_str("SLOTS")]).await;
            let detail = match answer {
                Ok(answer) => {
                    self.apply(&read_slots(Value::from_fred(answer), &seed)).await;
                    if !self.all().is_empty() {
                        return Ok(());
                    }
                    "it belongs to a cluster in which no server serves a slot, or none of those can be reached"
                        .to_owned()
                }
                Err(error) => format!("{}; for a single server the URL starts with redis://", error.details()),
            };
            failure = Some(ConnectError::Unsuitable { address: seed.to_string(), detail });
        }
        let address = self.inner.config.address();
        let detail = "there is no host in the URL".to_owned();
        Err(failure.unwrap_or(ConnectError::Unreachable { address, detail }))
    }

    async fn ask(&self, connection: &Connection, from: &Address) -> Option<Vec<Range>> {
        let answer = connection.send("CLUSTER", vec![FredValue::from_static_str("SLOTS")]);
        let answer = timeout(self.inner.timeout, answer).await.ok()?.ok()?;
        let ranges = read_slots(Value::from_fred(answer), from);
        (!ranges.is_empty()).then_some(ranges)
    }

    /// Connects to new primaries, and drops servers that are no primaries any more.
    async fn apply(&self, ranges: &[Range]) {
        let mut shards = self.all();
        let mut missing: Vec<&Address> = Vec::new();
        for Range { primary, .. } in ranges {
            if !missing.contains(&primary) && !shards.iter().any(|shard| shard.address() == primary) {
                missing.push(primary);
            }
        }
        let opened = join_all(missing.into_iter().map(|address| self.open(address))).await;
        shards.extend(opened.into_iter().flatten());
        let table =
            Table::of_cluster(ranges, |address| shards.iter().find(|shard| shard.address() == address).cloned());
        if self.read(|old| !old.is_like(&table)) {
            self.put(table);
        }
    }

    async fn open(&self, address: &Address) -> Result<Shard, ConnectError> {
        let opened = Connection::open(&self.inner.config, Some(address), self.inner.timeout).await;
        opened.map(|connection| Shard::new(address.clone(), connection)).inspect_err(|error| {
            tracing::warn!(%address, %error, "no connection to a server of the cluster");
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.inner.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.inner.table.write().unwrap_or_else(PoisonError::into_inner));
        self.inner.version.send_modify(|version| *version += 1);
    }

    fn put(&self, table: Table) {
        // The old table is dropped after the lock is released, since connections may close with it.
        let mut old = table;
        self.change(|table| std::mem::swap(table, &mut old));
    }
}

fn no_primary(slot: u16) -> FredError {
    FredError::new(Fred::Cluster, format!("CLUSTERDOWN no primary is known for slot {slot}"))
}

/// Reads the table at each hint and periodically, until the shards are dropped.
async fn keep_fresh(shards: Weak<Inner>, hint: Arc<Notify>) {
    loop {
        let hinted = timeout(REFRESH, hint.notified()).await;
        let Some(inner) = shards.upgrade() else { return };
        Shards { inner }.refresh().await;
        if hinted.is_ok() {
            sleep(PAUSE).await;
        }
    }
}
