//! How often a worker renews its leases.

use std::time::Duration;

/// Longest time between two heartbeats.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

/// Time between two heartbeats for leases of this length.
pub(super) fn heartbeat_interval(lease: Duration) -> Duration {
    (lease / 3).min(LONGEST_INTERVAL)
}
