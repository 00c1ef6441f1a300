//! A cluster: three primaries that share the slots, each with a replica.
#![expect(clippy::panic, reason = "a test without its servers has failed; the message is the whole point")]

use std::time::Duration;

use super::{LONG, RedisServer};
use crate::{free_port, poll_until};

const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// A cluster of six nodes. A primary that does not answer for a second is replaced.
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts it, and returns when it serves every slot and the replicas are in sync.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or the nodes don't find each other.
    pub async fn start() -> Self {
        let nodes: Vec<(RedisServer, String)> = (0..6)
            .map(|_| {
                let bus = free_port().to_string();
                let node = RedisServer::builder()
                    .set("cluster-enabled", "yes")
                    .set("cluster-node-timeout", "1000")
                    .set("cluster-port", &bus)
                    .set("cluster-allow-replica-migration", "no")
                    // One crashed shard must not stop the others.
                    .set("cluster-require-full-coverage", "no");
                (node.spawn(), bus)
            })
            .collect();
        for (node, _) in &nodes {
            node.wait().await;
        }
        let first_bus = nodes[0].1.clone();
        for (index, (node, _)) in nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await;
            if let Some((first, last)) = SLOTS.get(index) {
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            }
        }
        let cluster = Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() };
        cluster.meet(&first_bus).await;
        for (replica, primary) in cluster.nodes[3..].iter().zip(&cluster.nodes) {
            let primary = primary.cli(&["CLUSTER", "MYID"]).await;
            let follows = async || (replica.cli(&["CLUSTER", "REPLICATE", &primary]).await == "OK").then_some(());
            poll_until(LONG, follows).await.expect("a node becomes a replica");
        }
        cluster.wait_until_ok().await;
        for replica in &cluster.nodes[3..] {
            replica.wait_for_sync().await;
        }
        cluster
    }

    /// Introduces the nodes to each other.
    async fn meet(&self, first_bus: &str) {
        let first_port = self.nodes[0].port().to_string();
        let have_met = async || {
            for node in &self.nodes {
                if !node.cli(&["CLUSTER", "INFO"]).await.contains("cluster_known_nodes:6") {
                    return None;
                }
            }
            Some(())
        };
        // Repeated after some time: on a busy machine a handshake expires after the node time-out.
        for _ in 0..12 {
            for node in &self.nodes[1..] {
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &first_port, first_bus]).await;
            }
            if poll_until(Duration::from_secs(5), have_met).await.is_ok() {
                return;
            }
        }
        panic!("the nodes of a cluster don't find each other");
    }

    /// The URL, with all nodes.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// The nodes: at the start three primaries, then the replica of each in the same order.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// The number of the node that serves the slot, according to that node itself. Only running
    /// nodes are asked.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn primary_of(&self, slot: u16) -> usize {
        for (index, node) in self.nodes.iter().enumerate() {
            let told = node.cli(&["CLUSTER", "NODES"]).await;
            let Some(own) = told.lines().find(|line| line.contains("myself,master")) else { continue };
            let serves = own.split_ascii_whitespace().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse().is_ok_and(|first: u16| first <= slot) && last.parse().is_ok_and(|last: u16| slot <= last)
            });
            if serves {
                return index;
            }
        }
        panic!("no node serves slot {slot}");
    }

    /// Promotes a replica in a coordinated failover. Returns when it is a primary and the old
    /// primary follows it.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute, or the node is not a replica.
    pub async fn failover(&self, replica: usize) {
        let node = &self.nodes[replica];
        let says = async |node: &RedisServer, role: &str| node.cli(&["ROLE"]).await.starts_with(role).then_some(());
        // A restarted node assumes that it is a primary until it learns otherwise.
        poll_until(LONG, async || says(node, "slave").await).await.expect("the node is a replica");
        let port = node.cli(&["ROLE"]).await.split_ascii_whitespace().nth(2).map(str::to_owned);
        let old = self.nodes.iter().find(|node| Some(node.port().to_string()) == port).expect("it follows a node");
        // Repeated after some time: the server gives up a failover after five seconds, for example
        // if the replica has just started and does not follow yet.
        for _ in 0..10 {
            node.cli(&["CLUSTER", "FAILOVER"]).await;
            if poll_until(Duration::from_secs(6), async || says(node, "master").await).await.is_ok() {
                // The old primary serves the slots too until it learns of the failover.
                poll_until(LONG, async || says(old, "slave").await).await.expect("the old primary follows the new one");
                return;
            }
        }
        panic!("a replica does not become primary");
    }

    /// Returns when that node is a primary.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub async fn wait_until_primary(&self, node: usize) {
        let is_primary = async || self.nodes[node].cli(&["ROLE"]).await.starts_with("master").then_some(());
        poll_until(LONG, is_primary).await.expect("the replica becomes primary");
    }

    /// Returns when every node reports that all slots are served.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute, or a node doesn't run.
    pub async fn wait_until_ok(&self) {
        self.wait_for("cluster_state:ok").await;
    }

    /// Moves a slot with its keys to another primary.
    ///
    /// # Panics
    ///
    /// If a step is refused.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let from = self.begin_migration(slot, to).await;
        self.migrate_keys(slot, from, to).await;
        self.finish_migration(slot, from, to).await;
    }

    /// Starts the migration of a slot: from now on the source answers `ASK` for missing keys.
    /// Returns the source node.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn begin_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.primary_of(slot).await;
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        self.set_slot(to, slot, &["IMPORTING", &from_id]).await;
        self.set_slot(from, slot, &["MIGRATING", &to_id]).await;
        from
    }

    /// Moves the keys that are now in the slot.
    ///
    /// # Panics
    ///
    /// If a key can't be moved.
    pub async fn migrate_keys(&self, slot: u16, from: usize, to: usize) {
        let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100000"]).await;
        let port = self.nodes[to].port().to_string();
        for key in keys.lines().filter(|key| !key.is_empty()) {
            let moved = self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
            // The key may have expired or been deleted meanwhile.
            assert!(matches!(moved.as_str(), "OK" | "NOKEY"), "{key} does not move: {moved}");
        }
    }

    /// Ends the migration of a slot.
    ///
    /// # Panics
    ///
    /// If a node refuses.
    pub async fn finish_migration(&self, slot: u16, from: usize, to: usize) {
        let to_id = self.id(to).await;
        for node in [to, from] {
            self.set_slot(node, slot, &["NODE", &to_id]).await;
        }
    }

    async fn set_slot(&self, node: usize, slot: u16, change: &[&str]) {
        let slot = slot.to_string();
        let answer = self.nodes[node].cli(&[&["CLUSTER", "SETSLOT", &slot], change].concat()).await;
        assert_eq!(answer, "OK", "SETSLOT {slot} {change:?}");
    }

    async fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"]).await
    }

    async fn wait_for(&self, state: &str) {
        for node in &self.nodes {
            let is_there = async || node.cli(&["CLUSTER", "INFO"]).await.contains(state).then_some(());
            poll_until(LONG, is_there).await.unwrap_or_else(|_| panic!("a node never says {state}"));
        }
    }
}
