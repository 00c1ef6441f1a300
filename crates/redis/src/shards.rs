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
mod refresh;
mod send;
mod shard;
mod storm;
mod table;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};

pub(crate) use self::address::Address;
pub(crate) use self::connection::Connection;
pub(crate) use self::redirect::Redirect;
pub(crate) use self::shard::Shard;
pub(crate) use self::storm::StormLog;
use self::table::Table;
use crate::availability::Availability;
use crate::config::{Config, Topology};
use crate::error::ConnectError;

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
            shards.keep_fresh();
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

    /// Opens another connection to the server of a shard, which it does not share with commands.
    pub(crate) async fn open_again(&self, shard: &Shard) -> Result<Connection, ConnectError> {
        let is_cluster = self.inner.config.topology() == Topology::Cluster;
        Connection::open(&self.inner.config, is_cluster.then(|| shard.address()), self.inner.timeout).await
    }

    /// Reports that the slot's primary does not answer.
    pub(crate) fn report(&self, slot: u16) {
        self.inner.availability.report(slot);
    }

    /// Reports that the table may be out of date.
    pub(crate) fn hint(&self) {
        self.inner.hint.notify_one();
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
}
