//! Status of the servers, read from `INFO`.

mod fields;
mod replica;
mod warning;

use std::time::Duration;

use futures_util::future::join_all;

pub(crate) use self::fields::Fields;
pub use self::replica::ReplicaInfo;
pub use self::warning::{Thresholds, Warning};
use crate::append_only::keeps_torn_scripts;
use crate::client::Client;
use crate::command::Command;
use crate::error::Error;

/// Status of one server. Values that the server did not report are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Host and port.
    pub address: String,
    /// Version that the server reports. Valkey reports the version of Redis that it is compatible
    /// with.
    pub version: Option<String>,
    /// `master` or `slave`, as the server reports it.
    pub role: Option<String>,
    /// Time since its start.
    pub uptime: Option<Duration>,
    /// Memory used by the data, in bytes.
    pub used_memory: Option<u64>,
    /// Memory limit in bytes. 0 means no limit.
    pub max_memory: Option<u64>,
    /// Eviction policy at the limit, such as `noeviction`.
    pub eviction_policy: Option<String>,
    /// Memory allocated by the operating system, in bytes.
    pub resident_memory: Option<u64>,
    /// Ratio of resident memory to used memory. Far above 1 means fragmentation, below 1 means
    /// swap.
    pub fragmentation: Option<f64>,
    /// Open connections.
    pub clients: Option<u64>,
    /// Maximum number of connections.
    pub max_clients: Option<u64>,
    /// Connections refused because of the limit, since its start.
    pub rejected_connections: Option<u64>,
    /// Commands per second, currently.
    pub commands_per_second: Option<u64>,
    /// Reads that found their key, since its start.
    pub hits: Option<u64>,
    /// Reads that did not find their key, since its start.
    pub misses: Option<u64>,
    /// Keys evicted because of the memory limit, since its start.
    pub evicted_keys: Option<u64>,
    /// How long the last fork blocked the server.
    pub last_fork: Option<Duration>,
    /// Whether it has an append-only file.
    pub is_append_only: Option<bool>,
    /// Id of this run of the server. It changes with each start.
    pub run_id: Option<String>,
    /// Name and version, if it keeps part of a torn script in its append-only file.
    pub keeps_torn_scripts: Option<String>,
    /// Replicas that are connected to it.
    pub replicas: Vec<ReplicaInfo>,
    /// CPU time that it has used.
    pub processor_time: Option<Duration>,
    /// CPU load between two readings, in percent of one core. See [`since`](Self::since).
    pub processor_percent: Option<f64>,
    /// Its clock, since 1970.
    read_at: Option<Duration>,
}

impl NodeInfo {
    /// Parses the text of `INFO`.
    pub fn parse(address: &str, text: &str) -> Self {
        let fields = Fields::parse(text);
        let seconds = |name| fields.fraction(name).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (system, user) = (seconds("used_cpu_sys"), seconds("used_cpu_user"));
        Self {
            address: address.to_owned(),
            version: fields.text("redis_version").map(str::to_owned),
            role: fields.text("role").map(str::to_owned),
            uptime: fields.number("uptime_in_seconds").map(Duration::from_secs),
            used_memory: fields.number("used_memory"),
            max_memory: fields.number("maxmemory"),
            eviction_policy: fields.text("maxmemory_policy").map(str::to_owned),
            resident_memory: fields.number("used_memory_rss"),
            fragmentation: fields.fraction("mem_fragmentation_ratio"),
            clients: fields.number("connected_clients"),
            max_clients: fields.number("maxclients"),
            rejected_connections: fields.number("rejected_connections"),
            commands_per_second: fields.number("instantaneous_ops_per_sec"),
            hits: fields.number("keyspace_hits"),
            misses: fields.number("keyspace_misses"),
            evicted_keys: fields.number("evicted_keys"),
            last_fork: fields.number("latest_fork_usec").map(Duration::from_micros),
            is_append_only: fields.number("aof_enabled").map(|enabled: u8| enabled != 0),
            run_id: fields.text("run_id").map(str::to_owned),
            keeps_torn_scripts: keeps_torn_scripts(&fields),
            replicas: replica::of(&fields),
            processor_time: system.zip(user).and_then(|(system, user)| system.checked_add(user)),
            processor_percent: None,
            read_at: fields.number("server_time_usec").map(Duration::from_micros),
        }
    }

    /// Share of the reads that found their key, 0 to 1. `None` before the first read.
    pub fn hit_rate(&self) -> Option<f64> {
        let (hits, misses) = (self.hits? as f64, self.misses? as f64);
        (hits + misses > 0.0).then(|| hits / (hits + misses))
    }

    /// Share of the memory limit in use, 0 to 1. `None` without a limit.
    pub fn memory_use(&self) -> Option<f64> {
        let limit = self.max_memory.filter(|limit| *limit > 0)?;
        Some(self.used_memory? as f64 / limit as f64)
    }

    /// Whether it has reached its memory limit and refuses writes that need memory. `false` if it
    /// evicts keys instead.
    pub fn is_full(&self) -> bool {
        self.memory_use().is_some_and(|share| share >= 1.0) && self.eviction_policy.as_deref() == Some("noeviction")
    }

    /// Adds the CPU load since an earlier reading of the same server. `None` if the server was
    /// restarted in between.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        self.processor_percent = self.percent_since(earlier);
        self
    }

    /// Warnings for an operator.
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        warning::of(self, thresholds)
    }

    fn percent_since(&self, earlier: &Self) -> Option<f64> {
        let passed = self.read_at?.checked_sub(earlier.read_at?)?.as_secs_f64();
        let worked = self.processor_time?.checked_sub(earlier.processor_time?)?.as_secs_f64();
        (self.address == earlier.address && passed > 0.0).then(|| 100.0 * worked / passed)
    }
}

impl Client {
    /// Reads the status of every primary. Primaries that don't answer are left out. Costs one
    /// command per primary, about ten microseconds of the server's time.
    pub async fn info(&self) -> Vec<NodeInfo> {
        let nodes = self.primaries();
        let asking = nodes.iter().map(async |node| -> Result<NodeInfo, Error> {
            let text = self.execute_on(node, Command::new("INFO")).await?.into_text()?;
            Ok(NodeInfo::parse(&node.to_string(), &text))
        });
        join_all(asking).await.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# Server\r\nredis_version:7.2.4\r\nserver_time_usec:1700000000000000\r\nuptime_in_seconds:60\r\n\
        # Memory\r\nused_memory:950\r\nused_memory_rss:1900\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n\
        mem_fragmentation_ratio:2.00\r\n# Clients\r\nconnected_clients:12\r\nmaxclients:4064\r\n# Stats\r\nrejected_connections:3\r\n\
        instantaneous_ops_per_sec:40\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\nevicted_keys:5\r\nlatest_fork_usec:250\r\n\
        # Persistence\r\naof_enabled:1\r\n# Replication\r\nrole:master\r\n# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.5\r\n";

    #[test]
    fn reads_what_an_operator_asks_for() {
        let info = NodeInfo::parse("here:1", TEXT);
        assert_eq!((info.version.as_deref(), info.role.as_deref()), (Some("7.2.4"), Some("master")));
        assert_eq!((info.used_memory, info.max_memory, info.resident_memory), (Some(950), Some(1000), Some(1900)));
        assert_eq!((info.clients, info.rejected_connections, info.evicted_keys), (Some(12), Some(3), Some(5)));
        assert_eq!((info.max_clients, info.replicas.len()), (Some(4_064), 0));
        assert_eq!((info.commands_per_second, info.hit_rate()), (Some(40), Some(0.75)));
        assert_eq!((info.memory_use(), info.fragmentation), (Some(0.95), Some(2.0)));
        assert_eq!((info.last_fork, info.is_append_only), (Some(Duration::from_micros(250)), Some(true)));
        assert_eq!(info.processor_time, Some(Duration::from_secs(4)));
    }

    #[test]
    fn the_load_of_the_processor_needs_two_readings() {
        let earlier = NodeInfo::parse("here:1", TEXT);
        assert_eq!(earlier.processor_percent, None);
        let text =
            TEXT.replace("1700000000000000", "1700000002000000").replace("used_cpu_user:2.5", "used_cpu_user:4.0");
        let later = NodeInfo::parse("here:1", &text).since(&earlier);
        assert_eq!(later.processor_percent, Some(75.0));
        assert_eq!(earlier.clone().since(&later).processor_percent, None);
        assert_eq!(NodeInfo::parse("there:1", &text).since(&earlier).processor_percent, None);
    }

    #[test]
    fn what_is_not_told_is_none() {
        let info = NodeInfo::parse("here:1", "");
        assert_eq!(info, NodeInfo { address: "here:1".to_owned(), ..NodeInfo::default() });
        assert_eq!((info.hit_rate(), info.memory_use()), (None, None));
        assert_eq!(NodeInfo::parse("here:1", "maxmemory:0\nused_memory:1").memory_use(), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(values in proptest::collection::vec(any::<String>(), 12), number in any::<f64>()) {
            let names = ["used_memory", "maxmemory", "keyspace_hits", "keyspace_misses", "used_cpu_sys", "server_time_usec",
                "latest_fork_usec", "redis_version", "aof_enabled", "connected_clients", "uptime_in_seconds", "x"];
            let lines = names.iter().zip(&values).map(|(name, value)| format!("{name}:{value}\r\n"));
            let text: String = lines.chain([format!("used_cpu_user:{number}\r\nused_cpu_sys:{number}")]).collect();
            let info = NodeInfo::parse("here:1", &text);
            let _ = info.clone().since(&info).warnings(&Thresholds::default());
        }
    }
}
