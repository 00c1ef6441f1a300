use tidegate_testkit::{free_port, poll_until};

use super::{LONG, RedisServer};

const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

/// Three primaries, and a replica of each.
pub struct Cluster {
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            let bus = free_port().to_string();
            let args = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--cluster-port",
                &bus,
                "--appendonly",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
                "--cluster-allow-replica-migration",
                "no",
                "--cluster-require-full-coverage",
                "no",
            ];
            nodes.push((RedisServer::spawn(free_port(), &args), bus));
        }
        for (node, _) in &nodes {
            node.wait().await;
        }
        for (index, (node, _)) in nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await;
            if let Some((first, last)) = SLOTS.get(index) {
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            }
            if index > 0 {
                let (port, bus) = (nodes[0].0.port().to_string(), &nodes[0].1);
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
            }
        }
        let cluster = Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() };
        cluster.wait_for("cluster_known_nodes:6").await;
        for index in 3..6 {
            let primary = cluster.id(index - 3).await;
            poll_until(LONG, async || {
                (cluster.nodes[index].cli(&["CLUSTER", "REPLICATE", &primary]).await == "OK").then_some(())
            })
            .await
            .unwrap();
        }
        cluster.wait_for("cluster_state:ok").await;
        for replica in &cluster.nodes[3..] {
            poll_until(LONG, async || {
                replica.cli(&["INFO", "replication"]).await.contains("master_link_status:up").then_some(())
            })
            .await
            .unwrap();
        }
        cluster
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    pub async fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"]).await
    }

    /// The node that serves the slot, in its own eyes.
    pub async fn primary_of(&self, slot: u16) -> usize {
        for (index, node) in self.nodes.iter().enumerate() {
            let slots = node.cli(&["CLUSTER", "NODES"]).await;
            let Some(me) = slots.lines().find(|line| line.contains("myself,master")) else { continue };
            let serves = me.split_ascii_whitespace().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse().is_ok_and(|first: u16| first <= slot) && last.parse().is_ok_and(|last: u16| slot <= last)
            });
            if serves {
                return index;
            }
        }
        panic!("nobody serves slot {slot}");
    }

    async fn wait_for(&self, what: &str) {
        for node in &self.nodes {
            poll_until(LONG, async || node.cli(&["CLUSTER", "INFO"]).await.contains(what).then_some(())).await.unwrap();
        }
    }

    /// Opens the migration of a slot: it is answered with ASK where its keys are gone.
    pub async fn open_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.primary_of(slot).await;
        let (from_id, to_id, slot) = (self.id(from).await, self.id(to).await, slot.to_string());
        assert_eq!(self.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await, "OK");
        assert_eq!(self.nodes[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await, "OK");
        from
    }

    pub async fn migrate_keys(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).await;
        let port = self.nodes[to].port().to_string();
        for key in keys.lines().filter(|key| !key.is_empty()) {
            let moved = self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
            assert_eq!(moved, "OK");
        }
    }

    pub async fn close_migration(&self, slot: u16, from: usize, to: usize) {
        let (to_id, slot) = (self.id(to).await, slot.to_string());
        for node in [to, from] {
            assert_eq!(self.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await, "OK");
        }
    }

    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        let from = self.open_migration(slot, to).await;
        self.migrate_keys(slot, from, to).await;
        self.close_migration(slot, from, to).await;
    }
}
