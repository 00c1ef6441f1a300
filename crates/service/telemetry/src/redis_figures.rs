//! Metrics of Redis, for `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::Sources;
use super::exposition::Family;
use super::redis::{RedisReplica, RedisReport, RedisServer, RedisWatch};

/// Registers the metrics of Redis.
pub(super) fn register(sources: &Sources, watch: &Arc<RedisWatch>) {
    let watch = Arc::clone(watch);
    sources.figures(move || Box::new(RedisFigures(watch.report())));
}

/// Redis at one moment.
#[derive(Debug)]
struct RedisFigures(RedisReport);

/// A metric of a server: its name, its help text and its source.
type Figure<N> = (&'static str, &'static str, fn(&RedisServer) -> Option<N>);

const GAUGES: &[Figure<u64>] = &[
    ("tidegate_redis_used_memory_bytes", "Memory used by the data", |server| server.used_memory),
    ("tidegate_redis_max_memory_bytes", "Memory limit; 0 for none", |server| server.max_memory),
    ("tidegate_redis_resident_memory_bytes", "Resident memory of Redis", |server| server.resident_memory),
    ("tidegate_redis_clients", "Open connections", |server| server.clients),
    ("tidegate_redis_max_clients", "Maximum number of connections", |server| server.max_clients),
    ("tidegate_redis_commands_per_second", "Commands per second", |server| server.commands_per_second),
];
const FRACTIONS: &[Figure<f64>] = &[
    ("tidegate_redis_fragmentation_ratio", "Resident memory divided by used memory", |server| server.fragmentation),
    ("tidegate_redis_hit_ratio", "Share of reads that found their key since the start", |server| server.hit_rate),
    ("tidegate_redis_processor_ratio", "Use of one CPU core since the previous reading", |server| {
        server.processor_percent.map(|percent| percent / 100.0)
    }),
    ("tidegate_redis_last_fork_seconds", "Duration of the last fork", |server| {
        server.last_fork_ms.map(|time| time / 1_000.0)
    }),
];
const COUNTERS: &[Figure<u64>] = &[
    ("tidegate_redis_rejected_connections", "Connections refused", |server| server.rejected_connections),
    ("tidegate_redis_evicted_keys", "Keys evicted because memory was full", |server| server.evicted_keys),
];

impl Collector for RedisFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(report) = self;
        let mut family = Family::new(
            &mut encoder,
            "tidegate_redis_available",
            "Whether Redis answers, by its use",
            MetricType::Gauge,
        )?;
        for redis in &report.uses {
            family.gauge(&[("use", redis.name)], u64::from(redis.available))?;
        }
        for (name, help, value) in GAUGES {
            let mut family = Family::new(&mut encoder, name, help, MetricType::Gauge)?;
            for (address, value) in told(&report.servers, *value) {
                family.gauge(&[("server", address)], value)?;
            }
        }
        for (name, help, value) in FRACTIONS {
            let mut family = Family::new(&mut encoder, name, help, MetricType::Gauge)?;
            for (address, value) in told(&report.servers, *value) {
                family.fraction(&[("server", address)], value)?;
            }
        }
        for (name, help, value) in COUNTERS {
            let mut family = Family::new(&mut encoder, name, help, MetricType::Counter)?;
            for (address, value) in told(&report.servers, *value) {
                family.counter(&[("server", address)], value)?;
            }
        }
        let help = "Time since the last acknowledgement of a replica, by the addresses of primary and replica";
        let mut family = Family::new(&mut encoder, "tidegate_redis_replica_lag_seconds", help, MetricType::Gauge)?;
        for (labels, replica) in replicas(&report.servers) {
            family.fraction(&labels, replica.lag_seconds)?;
        }
        let help = "Data that a replica has not acknowledged";
        let mut family = Family::new(&mut encoder, "tidegate_redis_replica_behind_bytes", help, MetricType::Gauge)?;
        for (labels, replica) in replicas(&report.servers) {
            family.gauge(&labels, replica.behind_bytes)?;
        }
        Family::new(
            &mut encoder,
            "tidegate_redis_warnings",
            "Warnings of the Redis server that need an operator",
            MetricType::Gauge,
        )?
        .single(report.warnings.len() as u64)
    }
}

/// Returns the replicas that receive the replication stream, with their labels.
fn replicas(servers: &[RedisServer]) -> impl Iterator<Item = ([(&str, &str); 2], &RedisReplica)> {
    servers.iter().flat_map(|server| {
        let online = server.replicas.iter().filter(|replica| replica.is_online);
        online.map(|replica| ([("server", server.address.as_str()), ("replica", replica.address.as_str())], replica))
    })
}

/// Returns the values that the servers reported.
fn told<N>(servers: &[RedisServer], value: fn(&RedisServer) -> Option<N>) -> impl Iterator<Item = (&str, N)> {
    servers.iter().filter_map(move |server| Some((server.address.as_str(), value(server)?)))
}
