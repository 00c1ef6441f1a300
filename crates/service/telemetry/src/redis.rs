//! State of Redis: whether it answers, and the servers' own reports, once a minute.

mod limits;
mod lost_replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tidegate_base::Seldom;
use tidegate_model::alert_rules::Measurement;
use tidegate_outgoing::redis::Redis;
use tidegate_perfmon::mask;
use tidegate_redis::{Client, Command, Diagnosis, Error, NodeInfo, ReplicaInfo, SlowCommand, Thresholds};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use lost_replicas::LostReplicas;

/// Interval of the readings.
const PERIOD: Duration = Duration::from_secs(60);
/// Timeout for finding out why a server can't be used.
const DIAGNOSIS: Duration = Duration::from_secs(3);
/// Maximum number of slow commands that are shown.
const SLOW_COMMANDS: usize = 10;
/// Interval of log lines about a server that does not allow a rewrite.
const COMPLAINT: Duration = Duration::from_mins(10);
/// Prefix of the mark of a run until the server has accepted the rewrite.
const ASKED: &str = "asked";
/// Expiry of such a mark in milliseconds. Below [`PERIOD`], so that the next reading tries again.
const ASKED_FOR_MS: u64 = 30_000;

/// The watch on Redis.
#[derive(Debug)]
pub(super) struct RedisWatch {
    redis: Redis,
    seen: Mutex<Seen>,
    /// By name, why a use is not available.
    reasons: Mutex<BTreeMap<&'static str, String>>,
    /// By address, the run of each durable server that needs no further rewrite request.
    runs: Mutex<BTreeMap<String, String>>,
    complaints: Seldom,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    servers: Vec<NodeInfo>,
    slow: Vec<SlowCommand>,
    warnings: BTreeSet<String>,
    replicas: LostReplicas,
}

/// State of Redis for operators.
#[derive(Debug, Clone, Serialize)]
pub struct RedisReport {
    /// Whether every use of it is available.
    pub available: bool,
    /// The uses of Redis.
    pub uses: Vec<RedisUse>,
    /// The last report of each primary.
    pub servers: Vec<RedisServer>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Slow commands of the servers, slowest first.
    pub slow_commands: Vec<RedisSlowCommand>,
}

/// One use of Redis.
#[derive(Debug, Clone, Serialize)]
pub struct RedisUse {
    /// `queue`, `limits` or `cache`.
    pub name: &'static str,
    /// The URL with a masked password.
    pub url: String,
    /// Whether it is available. If not, limits and cache continue in memory, and jobs wait.
    pub available: bool,
}

/// One primary.
#[derive(Debug, Clone, Serialize)]
pub struct RedisServer {
    /// Host and port.
    pub address: String,
    /// Version of the server.
    pub version: Option<String>,
    /// Bytes of data.
    pub used_memory: Option<u64>,
    /// Memory limit in bytes. 0 if there is no limit.
    pub max_memory: Option<u64>,
    /// Resident memory in bytes.
    pub resident_memory: Option<u64>,
    /// Resident memory divided by used memory.
    pub fragmentation: Option<f64>,
    /// Percent of one core since the previous reading.
    pub processor_percent: Option<f64>,
    /// Open connections.
    pub clients: Option<u64>,
    /// Maximum number of connections.
    pub max_clients: Option<u64>,
    /// Connections refused since the server's start.
    pub rejected_connections: Option<u64>,
    /// Commands per second.
    pub commands_per_second: Option<u64>,
    /// Share of reads that found their key, since the server's start.
    pub hit_rate: Option<f64>,
    /// Evicted keys since the server's start.
    pub evicted_keys: Option<u64>,
    /// Milliseconds for which the last fork blocked the server.
    pub last_fork_ms: Option<f64>,
    /// Its replicas.
    pub replicas: Vec<RedisReplica>,
}

/// One replica, as its primary reports it.
#[derive(Debug, Clone, Serialize)]
pub struct RedisReplica {
    /// Host and port.
    pub address: String,
    /// Whether it receives the replication stream. `false` while it waits for the first copy.
    pub is_online: bool,
    /// Seconds since its last acknowledgement.
    pub lag_seconds: f64,
    /// Bytes that it has not acknowledged.
    pub behind_bytes: u64,
}

/// One slow command.
#[derive(Debug, Clone, Serialize)]
pub struct RedisSlowCommand {
    /// Host and port.
    pub address: String,
    /// When it ended, in seconds since 1970 by the server's clock.
    pub at: u64,
    /// Duration in milliseconds.
    pub ms: f64,
    /// Name and key.
    pub command: String,
}

impl RedisWatch {
    pub(super) fn new(redis: Redis) -> Arc<Self> {
        let complaints = Seldom::new(COMPLAINT);
        Arc::new(Self { redis, seen: Mutex::default(), reasons: Mutex::default(), runs: Mutex::default(), complaints })
    }

    /// Reads now and every minute, and logs changes, until `shutdown`.
    pub(super) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let asking = async {
            let mut beat = interval(PERIOD);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut available = self.redis.queue().availability().watch();
            loop {
                tokio::select! {
                    _ = beat.tick() => {}
                    // A server that is available again may have been restarted.
                    Ok(()) = available.changed() => {
                        if !*available.borrow_and_update() {
                            continue;
                        }
                    }
                }
                self.look().await;
            }
        };
        let note = |name, reason: Option<String>| {
            let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            match reason {
                Some(reason) => drop(reasons.insert(name, reason)),
                None => drop(reasons.remove(name)),
            }
        };
        let [queue, limits, cache] = self.redis.uses().map(|(name, client)| told_of(name, client, note));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = asking => {}
            ((), (), ()) = async { tokio::join!(queue, limits, cache) } => {}
        }
    }

    pub(super) fn is_available(&self) -> bool {
        self.redis.is_available()
    }

    /// Whether a server of the queues refuses writes because it has reached its memory limit.
    pub(super) async fn is_queue_full(&self) -> bool {
        self.redis.queue().info().await.iter().any(NodeInfo::is_full)
    }

    /// Returns the measurements for alert rules.
    pub(super) fn measurements(&self) -> Vec<Measurement> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = seen.replicas.measurements(&seen.servers, Instant::now());
        seen.servers.iter().flat_map(limits::measurements).chain(lost).collect()
    }

    pub(super) fn report(&self) -> RedisReport {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at_start = self.redis.servers().into_iter().flat_map(|client| client.warnings().to_vec());
        RedisReport {
            available: self.redis.is_available(),
            uses: self.redis.uses().into_iter().map(|(name, client)| use_of(name, client)).collect(),
            servers: seen.servers.into_iter().map(server).collect(),
            warnings: at_start.chain(seen.warnings).chain(self.unserved()).collect(),
            slow_commands: seen.slow.into_iter().map(slow).collect(),
        }
    }

    /// Returns why uses are not available.
    fn unserved(&self) -> Vec<String> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    async fn look(&self) {
        let mut servers = Vec::new();
        let mut slow = Vec::new();
        for client in self.redis.servers() {
            servers.extend(client.info().await);
            slow.extend(client.slowlog(SLOW_COMMANDS).await);
        }
        slow.sort_by_key(|command: &SlowCommand| std::cmp::Reverse(command.took));
        slow.truncate(SLOW_COMMANDS);
        self.clean_files().await;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let servers: Vec<NodeInfo> = servers
            .into_iter()
            .map(|now| match seen.servers.iter().find(|before| before.address == now.address) {
                Some(before) => now.since(before),
                None => now,
            })
            .collect();
        let warnings = warnings_of(&servers);
        // Once at the beginning instead of every minute: a repetitive log is not read.
        for begun in warnings.difference(&seen.warnings) {
            tracing::warn!("Redis: {begun}");
        }
        for ended in seen.warnings.difference(&warnings) {
            tracing::info!("Redis: no longer: {ended}");
        }
        let mut replicas = std::mem::take(&mut seen.replicas);
        replicas.note(&servers, Instant::now());
        *seen = Seen { servers, slow, warnings, replicas };
    }
}

impl RedisWatch {
    /// Requests a rewrite of the append-only file from each durable server that is new or was
    /// restarted, if it keeps torn scripts there.
    async fn clean_files(&self) {
        if !self.redis.rewrites_append_only_file() {
            return;
        }
        for server in self.redis.queue().info().await {
            let (Some(run), Some(name)) = (server.run_id, server.keeps_torn_scripts) else { continue };
            if self.runs().get(&server.address) == Some(&run) {
                continue;
            }
            match self.clean_file(&server.address, &run).await {
                Ok(true) => drop(self.runs().insert(server.address, run)),
                // Another process has just sent the request. The next reading shows the result.
                Ok(false) => {}
                Err(error) => {
                    // Only an operator can change it, so it is logged once for each run.
                    let is_forbidden = error.code() == Some("NOPERM");
                    if is_forbidden || self.complaints.count().is_some() {
                        tracing::warn!(
                            server = server.address,
                            will_retry = !is_forbidden,
                            "{name} can't be asked to write its append-only file anew, so remains of a torn script may \
                             stay in it; run BGREWRITEAOF after each restart (docs/torn-aof.md): {error}"
                        );
                    }
                    if is_forbidden {
                        self.runs().insert(server.address, run);
                    }
                }
            }
        }
    }

    /// Requests a rewrite of the append-only file, unless a process has done so in this run.
    /// Returns whether the request was accepted; `false` while another process makes it.
    async fn clean_file(&self, address: &str, run: &str) -> Result<bool, Error> {
        let key = self.redis.keyspace().group("rewritten", &[address]);
        let asked = format!("{ASKED} {run}");
        let is_known = |mark: &Option<Bytes>, text: &str| mark.as_deref() == Some(text.as_bytes());
        let queue = self.redis.queue();
        let get = Command::new("GET").key(key.as_str()).idempotent();
        let before = queue.execute(get).await?.into_optional_bytes()?;
        if is_known(&before, run) || is_known(&before, &asked) {
            return Ok(is_known(&before, run));
        }
        let set = Command::new("SET").key(key.as_str()).arg(asked.as_str());
        let set = set.arg("GET").arg("PX").arg(ASKED_FOR_MS);
        let before = queue.execute(set).await?.into_optional_bytes()?;
        if is_known(&before, &asked) {
            return Ok(false);
        }
        match queue.rewrite_append_only_file(address).await {
            Ok(()) => tracing::info!(server = address, "Redis writes its append-only file anew"),
            Err(error) if error.to_string().contains("already in progress") => {}
            Err(error) => return Err(error),
        }
        queue.execute(Command::new("SET").key(key.as_str()).arg(run).idempotent()).await?;
        Ok(true)
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs when a use of Redis becomes unavailable and available again.
async fn told_of(name: &'static str, client: &Client, note: impl Fn(&'static str, Option<String>)) {
    let mut available = client.availability().watch();
    while available.changed().await.is_ok() {
        let is_available = *available.borrow_and_update();
        if is_available {
            note(name, None);
            tracing::info!(used_for = name, "Redis is back");
            continue;
        }
        let server = client.config();
        match tokio::time::timeout(DIAGNOSIS, client.diagnose()).await {
            Ok(Some(Diagnosis { answers: true, reason })) => {
                tracing::warn!(used_for = name, %server, reason, "Redis answers, but can't be used");
                note(name, Some(reason));
            }
            Ok(Some(Diagnosis { reason, .. })) => {
                tracing::warn!(used_for = name, %server, reason, "Redis does not answer");
                note(name, Some(reason));
            }
            Ok(None) => tracing::warn!(used_for = name, %server, "Redis did not answer for a moment"),
            Err(_) => tracing::warn!(used_for = name, %server, "Redis does not answer"),
        }
    }
    // The client was closed: nothing more happens here, and the other watches continue.
    std::future::pending::<()>().await;
}

/// Returns the warnings without values, so that a changed value is not logged again.
fn warnings_of(servers: &[NodeInfo]) -> BTreeSet<String> {
    let thresholds = Thresholds::default();
    let of = |server: &NodeInfo| {
        let address = server.address.clone();
        server.warnings(&thresholds).into_iter().map(move |warning| format!("{address}: {}", name_of(&warning)))
    };
    servers.iter().flat_map(of).collect()
}

fn name_of(warning: &tidegate_redis::Warning) -> &'static str {
    use tidegate_redis::Warning;
    match warning {
        Warning::Memory { .. } => "more than 90 % of its memory limit are in use",
        Warning::Processor { .. } => "it uses more than 75 % of a core",
        Warning::Clients { .. } => "more than 10,000 connections are open",
        _ => "it wants to be looked at",
    }
}

fn use_of(name: &'static str, client: &Client) -> RedisUse {
    RedisUse { name, url: client.config().to_string(), available: client.availability().is_available() }
}

fn server(info: NodeInfo) -> RedisServer {
    RedisServer {
        hit_rate: info.hit_rate(),
        last_fork_ms: info.last_fork.map(milliseconds),
        address: info.address,
        version: info.version,
        used_memory: info.used_memory,
        max_memory: info.max_memory,
        resident_memory: info.resident_memory,
        fragmentation: info.fragmentation,
        processor_percent: info.processor_percent,
        clients: info.clients,
        max_clients: info.max_clients,
        rejected_connections: info.rejected_connections,
        commands_per_second: info.commands_per_second,
        evicted_keys: info.evicted_keys,
        replicas: info.replicas.into_iter().map(replica).collect(),
    }
}

fn replica(info: ReplicaInfo) -> RedisReplica {
    RedisReplica {
        address: info.address,
        is_online: info.is_online,
        lag_seconds: info.lag.as_secs_f64(),
        behind_bytes: info.behind,
    }
}

fn slow(command: SlowCommand) -> RedisSlowCommand {
    let SlowCommand { address, at, took, command, .. } = command;
    // It contains the key, which may contain an e-mail address.
    let command = mask(&command).into_owned();
    RedisSlowCommand { address, at, ms: milliseconds(took), command }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use tidegate_redis::{Config, Keyspace};
    use tidegate_settings::{RedisServers, RedisSettings};
    use tidegate_testkit::poll_until;
    use tidegate_testkit::redis::RedisServer as Server;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn watch(server: &Server, rewrites_append_only_file: bool) -> Arc<RedisWatch> {
        let config = Config::parse(&server.url()).unwrap().command_timeout(LONG);
        let servers = RedisServers { queue: config.clone(), limits: config, cache: None };
        let keyspace = Keyspace::new("test").unwrap();
        let settings = RedisSettings { servers, keyspace, replica_lag: None, rewrites_append_only_file };
        RedisWatch::new(Redis::connect(&settings).await.unwrap())
    }

    async fn rewrites(server: &Server) -> Option<String> {
        let stats = server.cli(&["INFO", "commandstats"]).await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_bgrewriteaof:"))?;
        line.split(['=', ',']).nth(1).map(str::to_owned)
    }

    #[tokio::test]
    async fn each_run_of_a_server_is_asked_once_for_a_clean_file() {
        let mut server = Server::start().await;
        let first = watch(&server, true).await;
        if first.redis.queue().info().await.iter().all(|server| server.keeps_torn_scripts.is_none()) {
            return;
        }
        for _ in 0..2 {
            first.clean_files().await;
            assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
        }
        // Another process.
        watch(&server, true).await.clean_files().await;
        assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
        let unwilling = watch(&server, false).await;
        server.kill9();
        server.restart().await;
        let is_back = async |watch: &RedisWatch| {
            let client = watch.redis.queue();
            poll_until(LONG, async || client.info().await.pop()).await.unwrap();
        };
        is_back(&unwilling).await;
        unwilling.clean_files().await;
        assert_eq!(rewrites(&server).await, None, "the setting is off");
        is_back(&first).await;
        first.clean_files().await;
        assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_server_that_refuses_the_mark_is_asked_at_a_later_look() {
        let server = Server::start().await;
        let watch = watch(&server, true).await;
        if watch.redis.queue().info().await.iter().all(|server| server.keeps_torn_scripts.is_none()) {
            return;
        }
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
        watch.clean_files().await;
        assert_eq!(rewrites(&server).await, None, "the server is full");
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
        watch.clean_files().await;
        assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
        let info = watch.redis.queue().info().await.remove(0);
        let key = watch.redis.keyspace().group("rewritten", &[&info.address]);
        assert_eq!(Some(server.cli(&["GET", key.as_str()]).await), info.run_id);
        assert_eq!(server.cli(&["PTTL", key.as_str()]).await, "-1");
    }

    #[tokio::test]
    async fn a_server_at_its_memory_limit_is_full_until_it_has_room() {
        let server = Server::start().await;
        let watch = watch(&server, false).await;
        for (limit, policy, is_full) in [
            ("0", "noeviction", false),
            ("1", "noeviction", true),
            ("1", "allkeys-lru", false),
            ("1gb", "noeviction", false),
        ] {
            server.cli(&["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", limit]).await;
            assert_eq!(watch.is_queue_full().await, is_full, "{limit} {policy}");
        }
    }

    #[test]
    fn a_figure_that_moves_is_the_same_warning() {
        let at = |used: u64| warnings_of(&[NodeInfo::parse("here:1", &format!("used_memory:{used}\nmaxmemory:100"))]);
        assert!(at(90).is_empty());
        assert_eq!(at(91), at(99));
        assert_eq!(at(95).into_iter().collect::<Vec<_>>(), ["here:1: more than 90 % of its memory limit are in use"]);
    }
}
