//! What a server may hold, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio_util::sync::CancellationToken;

use crate::tls::Certificates;

/// Settings of the server.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Sizes and durations.
    pub bounds: Bounds,
    /// Proxies whose connections are not counted, because many clients share them.
    pub proxies: TrustedProxies,
    /// Length of the IPv6 prefix that counts as one client.
    pub ipv6_prefix: Ipv6Prefix,
    /// Certificates for TLS. `None` for plain HTTP.
    pub tls: Option<Arc<Certificates>>,
}

/// Bounds on what a client can hold on to, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Maximum time for a request head to arrive, and between two requests of a connection.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its response before its connection is cut off.
    pub write_timeout: Duration,
    /// Minimum rate of a request body in bytes per second, after ten seconds of grace.
    pub min_rate: u64,
    /// Maximum number of open connections. Beyond it, the longest idle one makes room.
    pub max_connections: usize,
    /// Maximum connections per address or IPv6 prefix, except trusted proxies. More are closed.
    pub max_connections_per_address: usize,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// The two steps of a graceful shutdown.
#[derive(Debug, Clone)]
pub struct Ending {
    /// From now on each response asks its client to reconnect. A load balancer sends the new
    /// connection to another process. All requests are still served.
    pub announced: CancellationToken,
    /// Accepts no more connections. Cancelling it also cancels `announced`.
    pub stop: CancellationToken,
}

impl Default for Ending {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { announced: stop.child_token(), stop }
    }
}
