//! The limiters of a process: built from the settings, and read by the telemetry.

use std::sync::Arc;

use tidegate_node::node::{Node, StartError};
use tidegate_ratelimit::SharedQuotas;

use super::anomalies::Anomalies;
use super::{Limiters, TENANT, build};

impl Limiters {
    /// Builds them from the settings, on Redis where there is one, and lets the telemetry read them.
    ///
    /// # Errors
    ///
    /// When a limit doesn't fit its algorithm.
    pub(crate) async fn start(node: &Node) -> Result<Self, StartError> {
        let (settings, telemetry, redis) = (&node.settings, &node.telemetry, node.redis());
        let shared = match redis {
            Some(redis) => Some(SharedQuotas::start(redis.limits().clone(), redis.keyspace()).await),
            None => None,
        };
        let live = shared.as_ref().map(SharedQuotas::live_processes).unwrap_or_default();
        let mut limiters = build::all(settings, redis, &live)?;
        limiters.api.be_adjustable(node);
        limiters.anomalies = Anomalies::start(settings.limits.anomaly_interval, telemetry.alerts());
        limiters.follow_quotas(shared);
        for named in limiters.all() {
            telemetry.watch_limiter(named.name(), named.watch());
        }
        let watched = Arc::clone(&limiters.tenants);
        telemetry.watch_limiter(TENANT, move || watched.stats());
        Ok(limiters)
    }
}
