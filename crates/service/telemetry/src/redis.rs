//! State of Redis: whether it answers, and the servers' own reports, once a minute.

mod limits;
mod lost_replicas;
mod report;
mod rewrites;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_model::alert_rules::Measurement;
use tidegate_outgoing::redis::Redis;
use tidegate_redis::{Client, Diagnosis, NodeInfo, SlowCommand};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use lost_replicas::LostReplicas;
pub use report::{RedisReplica, RedisReport, RedisServer, RedisSlowCommand, RedisUse};
use report::{server, slow, use_of};
use rewrites::Rewrites;
use warnings::warnings_of;

/// Interval of the readings.
const PERIOD: Duration = Duration::from_secs(60);
/// Timeout for finding out why a server can't be used.
const DIAGNOSIS: Duration = Duration::from_secs(3);
/// Maximum number of slow commands that are shown.
const SLOW_COMMANDS: usize = 10;

/// The watch on Redis.
#[derive(Debug)]
pub(super) struct RedisWatch {
    redis: Redis,
    seen: Mutex<Seen>,
    /// By name, why a use is not available.
    reasons: Mutex<BTreeMap<&'static str, String>>,
    rewrites: Rewrites,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    servers: Vec<NodeInfo>,
    slow: Vec<SlowCommand>,
    warnings: BTreeSet<String>,
    replicas: LostReplicas,
}

impl RedisWatch {
    pub(super) fn new(redis: Redis) -> Arc<Self> {
        Arc::new(Self { redis, seen: Mutex::default(), reasons: Mutex::default(), rewrites: Rewrites::new() })
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
        self.rewrites.request(&self.redis).await;
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
            tracing::info!("Redis: warning ended: {ended}");
        }
        let mut replicas = std::mem::take(&mut seen.replicas);
        replicas.note(&servers, Instant::now());
        *seen = Seen { servers, slow, warnings, replicas };
    }
}

/// Logs when a use of Redis becomes unavailable and available again.
async fn told_of(name: &'static str, client: &Client, note: impl Fn(&'static str, Option<String>)) {
    let mut available = client.availability().watch();
    while available.changed().await.is_ok() {
        let is_available = *available.borrow_and_update();
        if is_available {
            note(name, None);
            tracing::info!(used_for = name, "Redis is available again");
            continue;
        }
        let server = client.config();
        match tokio::time::timeout(DIAGNOSIS, client.diagnose()).await {
            Ok(Some(Diagnosis { answers: true, reason })) => {
                tracing::warn!(used_for = name, %server, reason, "Redis answers, but it can't be used");
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

#[cfg(test)]
mod tests;
