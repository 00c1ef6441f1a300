//! The report of Redis for operators.

use std::time::Duration;

use serde::Serialize;
use tidegate_perfmon::mask;
use tidegate_redis::{Client, NodeInfo, ReplicaInfo, SlowCommand};

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

pub(super) fn use_of(name: &'static str, client: &Client) -> RedisUse {
    RedisUse { name, url: client.config().to_string(), available: client.availability().is_available() }
}

pub(super) fn server(info: NodeInfo) -> RedisServer {
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

pub(super) fn slow(command: SlowCommand) -> RedisSlowCommand {
    let SlowCommand { address, at, took, command, .. } = command;
    // It contains the key, which may contain an e-mail address.
    let command = mask(&command).into_owned();
    RedisSlowCommand { address, at, ms: milliseconds(took), command }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
