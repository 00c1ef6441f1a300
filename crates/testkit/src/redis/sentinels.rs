//! A primary, two replicas, and three Sentinels that promote a replica if the primary fails.

use super::{LONG, RedisServer, redis_cli};
use crate::{Process, Scratch, free_port, poll_until};

/// The Sentinels' name of the primary.
const NAME: &str = "main";

/// A primary with two replicas and three Sentinels. Two Sentinels decide after half a second.
pub struct Sentinels {
    servers: Vec<RedisServer>,
    ports: Vec<u16>,
    _processes: Vec<(Process, Scratch)>,
}

impl Sentinels {
    /// Starts all of them, and returns when the Sentinels know each other and the replicas.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or they don't find each other.
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let replicas: Vec<RedisServer> = (0..2).map(|_| RedisServer::builder().replica_of(&primary).spawn()).collect();
        for replica in &replicas {
            replica.wait().await;
            replica.wait_for_sync().await;
        }
        let mut ports = Vec::new();
        let mut processes = Vec::new();
        for _ in 0..3 {
            let (port, process, scratch) = sentinel(primary.port());
            ports.push(port);
            processes.push((process, scratch));
        }
        let sentinels =
            Self { servers: std::iter::once(primary).chain(replicas).collect(), ports, _processes: processes };
        for port in &sentinels.ports {
            let knows_all = async || {
                let told = redis_cli(*port, &["SENTINEL", "MASTER", NAME]).await;
                let field = |name| told.lines().skip_while(|line| *line != name).nth(1);
                (field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("2")).then_some(())
            };
            poll_until(LONG, knows_all).await.expect("the Sentinels find each other");
        }
        sentinels
    }

    /// The URL of the primary through the Sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis-sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The current primary, according to the Sentinels.
    ///
    /// # Panics
    ///
    /// If it is none of the servers.
    pub async fn primary(&mut self) -> &mut RedisServer {
        let port = self.primary_port().await;
        self.servers.iter_mut().find(|server| server.port() == port).expect("one of the servers")
    }

    /// The servers. The first one was the primary at the start.
    pub fn servers(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }

    /// Promotes a replica in a coordinated failover. Returns when the Sentinels agree and the new
    /// primary accepts writes.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub async fn failover(&mut self) {
        let before = self.primary_port().await;
        let is_begun = async || (redis_cli(self.ports[0], &["SENTINEL", "FAILOVER", NAME]).await == "OK").then_some(());
        poll_until(LONG, is_begun).await.expect("a failover begins");
        self.wait_for_primary_other_than(before).await;
        // Until the old primary learns of the failover, it accepts writes that are lost, and
        // clients stay connected to it.
        let follows = async || redis_cli(before, &["ROLE"]).await.starts_with("slave").then_some(());
        poll_until(LONG, follows).await.expect("the old primary becomes a replica");
    }

    /// Returns when the Sentinels agree on a primary on another port, and it accepts writes.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub async fn wait_for_primary_other_than(&self, port: u16) {
        let is_chosen = async || {
            for sentinel in &self.ports {
                if primary_of(*sentinel).await == port {
                    return None;
                }
            }
            let role = redis_cli(self.primary_port().await, &["ROLE"]).await;
            role.starts_with("master").then_some(())
        };
        poll_until(LONG, is_chosen).await.expect("the Sentinels choose a primary");
    }

    async fn primary_port(&self) -> u16 {
        primary_of(self.ports[0]).await
    }
}

fn sentinel(primary: u16) -> (u16, Process, Scratch) {
    let (scratch, port) = (Scratch::new(), free_port());
    let file = scratch.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n",
        scratch.path().display()
    );
    std::fs::write(&file, text).expect("the scratch directory is writable");
    let process =
        Process::builder("redis-server").name(format!("sentinel:{port}")).arg(&file).arg("--sentinel").start();
    (port, process.expect("redis-server starts; install it with: apt-get install redis-server"), scratch)
}

async fn primary_of(sentinel: u16) -> u16 {
    let address = redis_cli(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
    address.lines().nth(1).and_then(|port| port.parse().ok()).unwrap_or_default()
}
