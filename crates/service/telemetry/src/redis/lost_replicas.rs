//! Replicas that their primary no longer lists.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_model::alert_rules::Measurement;
use tidegate_redis::NodeInfo;
use tokio::time::Instant;

/// A replica that is missing for this long was removed on purpose.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// When each replica was last seen online. A primary removes a dead replica from its list after
/// `repl-timeout`, and its lag would then no longer be measured.
#[derive(Debug, Default, Clone)]
pub(super) struct LostReplicas(BTreeMap<String, Instant>);

impl LostReplicas {
    /// Records the replicas that are online. A promoted replica is removed.
    pub(super) fn note(&mut self, servers: &[NodeInfo], now: Instant) {
        let online = servers.iter().flat_map(|server| &server.replicas).filter(|replica| replica.is_online);
        self.0.extend(online.map(|replica| (replica.address.clone(), now)));
        let is_primary = |address: &str| servers.iter().any(|server| server.address == address);
        self.0.retain(|address, online| !is_primary(address) && now - *online < FORGOTTEN);
    }

    /// Returns the lag of each replica that is not online. Empty while no primary answers.
    pub(super) fn measurements(&self, servers: &[NodeInfo], now: Instant) -> Vec<Measurement> {
        let is_online = |address: &str| {
            let mut replicas = servers.iter().flat_map(|server| &server.replicas);
            replicas.any(|replica| replica.is_online && replica.address == address)
        };
        let lost = self.0.iter().filter(|(address, _)| !servers.is_empty() && !is_online(address));
        lost.map(|(address, online)| Measurement::new("redis_replica_lag", &**address, (now - *online).as_secs_f64()))
            .collect()
    }
}
