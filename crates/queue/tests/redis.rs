//! Guarantees of the Redis broker alone: partitions, lost replies, tombstones, pages of ready jobs.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

#[path = "redis/enqueueing.rs"]
mod enqueueing;
#[path = "redis/leases.rs"]
mod leases;
#[path = "redis/lost_replies.rs"]
mod lost_replies;
#[path = "redis/partitions.rs"]
mod partitions;
#[path = "redis/shared_out.rs"]
mod shared_out;
#[path = "redis/steps.rs"]
mod steps;
#[path = "redis/stored.rs"]
mod stored;
mod support;
#[path = "redis/tombstones.rs"]
mod tombstones;
#[path = "redis/waking.rs"]
mod waking;

use std::time::Duration;

use support::redis::{broker, fresh_prefix};
use support::{LEASE, QUEUE};
use tidegate_queue::{Broker, Fetch, JobId, LeasedJob, RedisBroker, RedisOptions, WorkerId};
use tidegate_testkit::redis::RedisServer;

const SOON: Duration = Duration::from_secs(10);

async fn fetch(broker: &RedisBroker, worker: &WorkerId, max: usize) -> Vec<LeasedJob> {
    let fetch = Fetch { worker: worker.clone(), max, lease: LEASE };
    broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap().1
}

async fn fresh(server: &RedisServer, partitions: u16) -> RedisBroker {
    broker(&server.url(), &fresh_prefix(), RedisOptions::new().partitions(partitions)).await
}

fn id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

/// How often the server ran a command since its statistics were reset.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let front = format!("cmdstat_{command}:calls=");
    stats
        .lines()
        .find_map(|line| line.strip_prefix(&front))
        .map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// The common prefix of the keys of the first partition.
async fn front(server: &RedisServer) -> String {
    server.cli(&["KEYS", "*:{q:work:0}:meta"]).await.trim().strip_suffix("meta").unwrap().to_owned()
}
