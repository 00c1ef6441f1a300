//! Reads the table of slots from the servers of a cluster.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::types::Value as FredValue;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::connection::Connection;
use super::table::{Range, Table, read_slots};
use super::{Inner, Shards};
use crate::config::Topology;
use crate::error::ConnectError;
use crate::value::Value;

/// Time between two reads of the table without a hint.
const REFRESH: Duration = Duration::from_secs(5);
/// Shortest time between two reads.
const PAUSE: Duration = Duration::from_millis(100);

impl Shards {
    /// Connects to the primaries of a cluster, through any server of the URL.
    pub(super) async fn connect_cluster(&self) -> Result<(), ConnectError> {
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

    /// Keeps the table fresh in the background.
    pub(super) fn keep_fresh(&self) {
        tokio::spawn(keep_fresh(Arc::downgrade(&self.inner), self.inner.hint.clone()));
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

    fn put(&self, table: Table) {
        // The old table is dropped after the lock is released, since connections may close with it.
        let mut old = table;
        self.change(|table| std::mem::swap(table, &mut old));
    }
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
