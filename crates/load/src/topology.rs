//! The fleet of `deploy/compose.yaml` as processes on this machine.

mod nginx;
mod node;
mod programs;
mod prometheus;
mod redis;
mod secrets;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{join_all, try_join_all};
use tidegate_testkit::{PostgresServer, Scratch, poll_until};

pub use self::nginx::Proxy;
pub use self::node::Node;
use self::node::{Kind, Setup};
use self::prometheus::Prometheus;
pub use self::redis::RedisFleet;
use self::secrets::Secrets;
pub use self::usage::Usage;

/// How large a topology is.
#[derive(Clone, Debug)]
pub struct TopologyOptions {
    /// Processes of `tidegate-api`, at most three.
    pub apis: usize,
    /// Processes of `tidegate-worker`.
    pub workers: usize,
    /// Whether Prometheus scrapes them.
    pub prometheus: bool,
    /// Settings of the nodes besides those of `compose.yaml`.
    pub settings: Vec<(String, String)>,
}

impl Default for TopologyOptions {
    /// The settings of `compose.yaml`.
    fn default() -> Self {
        Self { apis: 3, workers: 2, prometheus: true, settings: Vec::new() }
    }
}

/// nginx, the APIs, the workers, PostgreSQL with a follower, Redis with a replica and three
/// Sentinels, Prometheus. All of them listen on 127.0.0.1. Dropping it ends them all.
pub struct Topology {
    /// nginx.
    pub proxy: Proxy,
    /// The APIs.
    pub apis: Vec<Node>,
    /// The workers.
    pub workers: Vec<Node>,
    /// Redis.
    pub redis: RedisFleet,
    /// The database that is written.
    pub postgres: PostgresServer,
    prometheus: Option<Prometheus>,
    follower: PostgresServer,
    secrets: Secrets,
    setup: Setup,
    // Behind the processes: fields drop in order, and they must end before their directory goes.
    scratch: Scratch,
}

impl Topology {
    /// Starts everything, and returns when every node is ready.
    ///
    /// # Errors
    ///
    /// A program is not installed or not built, or does not start. The error names it, and how to
    /// get it.
    pub async fn start(options: &TopologyOptions) -> anyhow::Result<Self> {
        let nginx = programs::nginx()?;
        let (scratch, secrets) = (Scratch::new(), Secrets::generate()?);
        let password = secrets.write_redis_password(scratch.path())?;
        let redis = RedisFleet::start(scratch.path(), &secrets.redis_password, &password);
        let databases = async {
            // Tests do without `fsync`; a fleet does not.
            let postgres = PostgresServer::start_tcp(&[("fsync", "on")]).await;
            let follower = postgres.replica(&[("fsync", "on")]).await;
            (postgres, follower)
        };
        let (redis, (postgres, follower)) = tokio::join!(redis, databases);
        let redis = redis?;
        let (settings, data) = (scratch.join("tidegate.toml"), scratch.join("data"));
        secrets.write(&settings, &postgres.url(), &follower.url(), &redis.url())?;
        let setup = Setup { settings, data, more: options.settings.clone() };
        let start = |kind, count| -> anyhow::Result<Vec<Node>> {
            (1..=count).map(|number| Node::start(kind, number, &setup)).collect()
        };
        let mut apis = start(Kind::Api, options.apis)?;
        let mut workers = start(Kind::Worker, options.workers)?;
        try_join_all(apis.iter_mut().chain(&mut workers).map(Node::ready)).await?;
        let ports = |nodes: &[Node]| nodes.iter().map(Node::port).collect::<Vec<_>>();
        let proxy = Proxy::start(nginx, scratch.path(), ports(&apis)).await?;
        let prometheus = match options.prometheus {
            true => Some(Prometheus::start(scratch.path(), &ports(&apis), &ports(&workers)).await?),
            false => None,
        };
        Ok(Self { proxy, apis, workers, redis, postgres, prometheus, follower, secrets, setup, scratch })
    }

    /// The token of an operator.
    pub fn admin_token(&self) -> &str {
        &self.secrets.admin
    }

    /// The settings file, in which the tokens are.
    pub fn settings_file(&self) -> PathBuf {
        self.scratch.join("tidegate.toml")
    }

    /// All APIs and workers.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.apis.iter_mut().chain(&mut self.workers)
    }

    /// Restarts PostgreSQL: all its connections break.
    pub async fn restart_postgres(&mut self) {
        self.postgres.bounce().await;
    }

    /// Returns the resources by process: `nginx`, `api1` and so on, `postgres` without its
    /// follower, `redis` (the primary), and `driver`, which is this process.
    pub async fn usage(&self) -> BTreeMap<String, Usage> {
        let nodes = self.apis.iter().chain(&self.workers).map(|node| (node.name().to_owned(), node.usage()));
        let servers = [
            ("nginx", self.proxy.usage()),
            ("postgres", self.postgres.pid().and_then(Usage::of)),
            ("redis", self.redis.usage().await),
            ("driver", Usage::of_this_process()),
        ];
        let servers = servers.into_iter().map(|(name, usage)| (name.to_owned(), usage));
        nodes.chain(servers).filter_map(|(name, usage)| Some((name, usage?))).collect()
    }

    /// Starts one more API, whose database does not exist. Returns whether it became ready, and
    /// ends it.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub async fn try_broken_canary(&self, patience: Duration) -> anyhow::Result<bool> {
        let mut setup = self.setup.clone();
        // No server uses port 1.
        setup.more.push(("DATABASE_URL".to_owned(), "postgres://tidegate@127.0.0.1:1/tidegate".to_owned()));
        let node = Node::start(Kind::Api, self.apis.len() + 1, &setup)?;
        Ok(poll_until(patience, async || node.is_ready().await.then_some(())).await.is_ok())
    }

    /// Describes for people all addresses and how an operator logs in. Contains no token.
    pub fn describe(&self) -> String {
        let mut lines = vec![
            ("nginx".to_owned(), format!("{}  ({} leads there)", self.proxy.url(), self.proxy.http_url())),
            ("PostgreSQL".to_owned(), format!("127.0.0.1:{}", self.postgres.port())),
            ("its follower".to_owned(), format!("127.0.0.1:{}", self.follower.port())),
        ];
        let nodes = self.apis.iter().chain(&self.workers);
        lines.extend(nodes.map(|node| (node.name().to_owned(), format!("http://127.0.0.1:{}", node.port()))));
        lines.extend(self.redis.addresses());
        let prometheus = self.prometheus.as_ref().map(Prometheus::address);
        lines.extend(prometheus.map(|address| ("Prometheus".to_owned(), address)));
        let mut text = String::new();
        for (name, address) in lines {
            let _ = writeln!(text, "{name:<13} {address}");
        }
        let (url, authority) = (self.proxy.url(), self.proxy.authority());
        let _ = write!(
            text,
            "\nThe tokens are in {}, which only you can read. To log in at {url}/dashboard, take `admin`.\n\
             \n  ADMIN=$(sed -n 's/^admin = \"\\(.*\\)\"/\\1/p' {0})\n  \
             curl --cacert {} {url}/api/tenants -H \"Authorization: Bearer $ADMIN\"\n",
            self.settings_file().display(),
            authority.display(),
        );
        text
    }

    /// Ends everything in good order: the proxy, the nodes, the servers.
    ///
    /// # Errors
    ///
    /// A node does not end after SIGTERM, or ends with an error. The others are ended all the same.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.proxy.stop().await;
        if let Some(prometheus) = &mut self.prometheus {
            prometheus.stop().await;
        }
        let stopped = join_all(self.apis.iter_mut().chain(&mut self.workers).map(stop)).await;
        self.redis.stop().await;
        self.follower.stop().await;
        self.postgres.stop().await;
        stopped.into_iter().collect::<anyhow::Result<Vec<()>>>().context("a node did not end in good order")?;
        Ok(())
    }
}

async fn stop(node: &mut Node) -> anyhow::Result<()> {
    if node.has_died() { Ok(()) } else { node.stop().await }
}

/// Starts the topology, prints its addresses through `print`, and stops it at SIGINT or SIGTERM.
///
/// # Errors
///
/// It does not start or does not end in good order.
pub async fn serve(options: &TopologyOptions, print: impl Fn(&str)) -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut topology = tokio::select! {
        topology = Topology::start(options) => topology?,
        _ = &mut interrupted => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    print(&topology.describe());
    print("Ctrl-C stops all.");
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = &mut interrupted => break,
            _ = terminated.recv() => break,
            _ = tick.tick() => {
                if let Some(dead) = topology.nodes().find_map(|node| node.has_died().then(|| node.name().to_owned())) {
                    anyhow::bail!("{dead} has ended by itself");
                }
            }
        }
    }
    print("stopping");
    topology.stop().await
}
