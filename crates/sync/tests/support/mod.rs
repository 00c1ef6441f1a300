//! Shared parts of the integration tests: stores with a stopped clock, and helpers.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod eventful;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_sync::{
    Ledger, LedgerId, LedgerStore, Lock, ManualClock, MemoryStore, Once, OnceStore, PermitStore, Place, PlaceKind,
    Stock, StockStore,
};

pub const SOON: Duration = Duration::from_secs(20);
pub const LEASE: Duration = Duration::from_secs(30);

/// A store of all primitives.
pub trait Store: PermitStore + OnceStore + StockStore + LedgerStore {}

impl<S: PermitStore + OnceStore + StockStore + LedgerStore> Store for S {}

/// A store with a clock that a test moves.
pub struct Bench {
    pub store: Arc<dyn Store>,
    clock: Time,
    #[cfg(feature = "redis")]
    _server: Option<tidegate_testkit::redis::RedisServer>,
}

enum Time {
    Manual(ManualClock),
    #[cfg(feature = "redis")]
    Key(tidegate_redis::Client),
}

/// The time of every clock at the start.
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

impl Bench {
    pub fn memory() -> Self {
        let clock = ManualClock::at(start());
        Self {
            store: Arc::new(MemoryStore::with_clock(clock.clone())),
            clock: Time::Manual(clock),
            #[cfg(feature = "redis")]
            _server: None,
        }
    }

    /// With its own server, whose scripts read the time from a key.
    #[cfg(feature = "redis")]
    pub async fn redis() -> Self {
        use tidegate_redis::{ClockPrelude, Command};
        use tidegate_sync::RedisStore;

        let server = tidegate_testkit::redis::RedisServer::start().await;
        let client = connect(server.url()).await;
        let now = start().duration_since(UNIX_EPOCH).unwrap().as_micros();
        client.execute(Command::new("SET").key("clock").arg(u64::try_from(now).unwrap())).await.unwrap();
        let store = RedisStore::with_clock(client.clone(), keyspace(), &ClockPrelude::from_key("clock"));
        Self { store: Arc::new(store), clock: Time::Key(client), _server: Some(server) }
    }

    /// Removes everything in Redis except the clock.
    #[cfg(feature = "redis")]
    pub async fn clear(&self) {
        let Time::Key(client) = &self.clock else { panic!("a store in process begins empty") };
        let mut keys = client.scan("tidegate:*");
        while let Some(page) = keys.page().await.unwrap() {
            client.unlink(page).await.unwrap();
        }
    }

    pub async fn advance(&self, by: Duration) {
        match &self.clock {
            Time::Manual(clock) => clock.advance(by),
            #[cfg(feature = "redis")]
            Time::Key(client) => {
                let micros = u64::try_from(by.as_micros()).unwrap();
                let command = tidegate_redis::Command::new("INCRBY").key("clock").arg(micros);
                client.execute(command).await.unwrap();
            }
        }
    }

    pub fn lock(&self, name: &str) -> Lock {
        Lock::new(self.store.clone(), name).lease(LEASE)
    }

    pub fn once(&self) -> Once {
        Once::new(self.store.clone(), "payment")
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.store.clone(), "points")
    }

    /// A ledger with four partitions, and account names in different ones.
    pub fn partitioned(&self) -> (Ledger, Vec<String>) {
        let partitions = NonZeroU16::new(4).unwrap();
        (self.ledger().partitions(partitions), apart(partitions))
    }

    /// A stock with `quantity` in it.
    pub async fn stock(&self, quantity: u64) -> Stock {
        let stock = Stock::new(self.store.clone(), "tickets");
        stock.add("first", quantity).await.unwrap();
        stock
    }
}

pub fn ledger_id(name: &str, partitions: NonZeroU16) -> LedgerId {
    LedgerId { name: name.to_owned(), horizon: Duration::from_secs(86_400), partitions }
}

/// An account name in each partition, in the order of partitions.
pub fn apart(partitions: NonZeroU16) -> Vec<String> {
    let ledger = ledger_id("", partitions);
    let in_partition = |partition| {
        let mut names = (0..).map(|nth| format!("account-{nth}"));
        names.find(|name| ledger.partition_of(name) == partition).unwrap()
    };
    (0..partitions.get()).map(in_partition).collect()
}

pub fn lock_place(name: &str) -> Place {
    Place { kind: PlaceKind::Lock, name: name.to_owned() }
}

#[cfg(feature = "redis")]
pub fn keyspace() -> tidegate_redis::Keyspace {
    tidegate_redis::Keyspace::new("tidegate").unwrap()
}

#[cfg(feature = "redis")]
pub async fn connect(url: impl AsRef<str>) -> tidegate_redis::Client {
    let config = tidegate_redis::Config::parse(url.as_ref()).unwrap();
    tidegate_redis::Client::connect(&config, tidegate_redis::Role::Durable).await.unwrap()
}
