//! What is known of Redis: whether it answers, and what its servers say about themselves once a minute.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tidegate_perfmon::mask;
use tidegate_redis::{Client, NodeInfo, SlowCommand, Thresholds};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::redis::Redis;

/// How often the servers are asked.
const PERIOD: Duration = Duration::from_secs(60);
/// Slow commands that are shown.
const SLOW_COMMANDS: usize = 10;

/// The watch over Redis.
#[derive(Debug)]
pub(super) struct RedisWatch {
    redis: Redis,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    servers: Vec<NodeInfo>,
    slow: Vec<SlowCommand>,
    warnings: BTreeSet<String>,
}

/// Redis as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct RedisReport {
    /// Whether every use of it is served.
    pub available: bool,
    /// What it is used for.
    pub uses: Vec<RedisUse>,
    /// What each primary said last.
    pub servers: Vec<RedisServer>,
    /// What should be looked at.
    pub warnings: Vec<String>,
    /// Commands that took a server long, slowest first.
    pub slow_commands: Vec<RedisSlowCommand>,
}

/// One use of Redis.
#[derive(Debug, Clone, Serialize)]
pub struct RedisUse {
    /// `queue`, `limits` or `cache`.
    pub name: &'static str,
    /// The URL, password masked.
    pub url: String,
    /// Whether it is served; where not, limits and cache go on in memory, and jobs wait.
    pub available: bool,
}

/// One primary.
#[derive(Debug, Clone, Serialize)]
pub struct RedisServer {
    /// Host and port.
    pub address: String,
    /// Its version.
    pub version: Option<String>,
    /// Bytes of data.
    pub used_memory: Option<u64>,
    /// Bytes that it may take; 0 is no limit.
    pub max_memory: Option<u64>,
    /// Bytes that the system has given it.
    pub resident_memory: Option<u64>,
    /// Resident by used memory.
    pub fragmentation: Option<f64>,
    /// Percent of one core since the reading before.
    pub processor_percent: Option<f64>,
    /// Open connections.
    pub clients: Option<u64>,
    /// Connections refused since its start.
    pub rejected_connections: Option<u64>,
    /// Commands a second.
    pub commands_per_second: Option<u64>,
    /// Share of the reads that found their key, since its start.
    pub hit_rate: Option<f64>,
    /// Keys thrown away since its start.
    pub evicted_keys: Option<u64>,
    /// Milliseconds for which the last fork held everything up.
    pub last_fork_ms: Option<f64>,
}

/// One command that took long.
#[derive(Debug, Clone, Serialize)]
pub struct RedisSlowCommand {
    /// Host and port.
    pub address: String,
    /// When it ended, in seconds since 1970 of the server's clock.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Its name and key.
    pub command: String,
}

impl RedisWatch {
    pub(super) fn new(redis: Redis) -> Arc<Self> {
        Arc::new(Self { redis, seen: Mutex::default() })
    }

    /// Asks now and every minute, and tells the log what changes, until `shutdown`.
    pub(super) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let asking = async {
            let mut beat = interval(PERIOD);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                self.look().await;
            }
        };
        let [queue, limits, cache] = self.redis.uses().map(|(name, client)| told_of(name, client));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = asking => {}
            ((), (), ()) = async { tokio::join!(queue, limits, cache) } => {}
        }
    }

    pub(super) fn is_available(&self) -> bool {
        self.redis.is_available()
    }

    pub(super) fn report(&self) -> RedisReport {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at_start = self.redis.servers().into_iter().flat_map(|client| client.warnings().to_vec());
        RedisReport {
            available: self.redis.is_available(),
            uses: self.redis.uses().into_iter().map(|(name, client)| use_of(name, client)).collect(),
            servers: seen.servers.into_iter().map(server).collect(),
            warnings: at_start.chain(seen.warnings).collect(),
            slow_commands: seen.slow.into_iter().map(slow).collect(),
        }
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
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let servers: Vec<NodeInfo> = servers
            .into_iter()
            .map(|now| match seen.servers.iter().find(|before| before.address == now.address) {
                Some(before) => now.since(before),
                None => now,
            })
            .collect();
        let warnings = warnings_of(&servers);
        // Once when it begins and not each minute: a log that repeats itself is not read.
        for begun in warnings.difference(&seen.warnings) {
            tracing::warn!("Redis: {begun}");
        }
        for ended in seen.warnings.difference(&warnings) {
            tracing::info!("Redis: no longer: {ended}");
        }
        *seen = Seen { servers, slow, warnings };
    }
}

/// Tells the log when a use of Redis ends and begins again.
async fn told_of(name: &'static str, client: &Client) {
    let mut available = client.availability().watch();
    while available.changed().await.is_ok() {
        let is_available = *available.borrow_and_update();
        if is_available {
            tracing::info!(used_for = name, "Redis is back");
        } else {
            tracing::warn!(used_for = name, server = %client.config(), "Redis does not answer");
        }
    }
    // The client was closed: nothing is left to be told, and the others go on.
    std::future::pending::<()>().await;
}

/// Without the figure, so that one that only moves is not told again.
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
        rejected_connections: info.rejected_connections,
        commands_per_second: info.commands_per_second,
        evicted_keys: info.evicted_keys,
    }
}

fn slow(command: SlowCommand) -> RedisSlowCommand {
    let SlowCommand { address, at, took, command, .. } = command;
    // It bears the key, which may hold somebody's address.
    let command = mask(&command).into_owned();
    RedisSlowCommand { address, at, ms: milliseconds(took), command }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_moves_is_the_same_warning() {
        let at = |used: u64| warnings_of(&[NodeInfo::parse("here:1", &format!("used_memory:{used}\nmaxmemory:100"))]);
        assert!(at(90).is_empty());
        assert_eq!(at(91), at(99));
        assert_eq!(at(95).into_iter().collect::<Vec<_>>(), ["here:1: more than 90 % of its memory limit are in use"]);
    }
}
