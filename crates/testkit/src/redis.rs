//! Redis for tests: servers of their own, with replicas and Sentinels, clusters, a proxy that
//! misbehaves, a relay that holds up replication, and append-only files that a crash has torn.

mod aof;
mod cli;
mod cluster;
mod proxy;
mod sentinels;
mod server;
mod tls;

use std::time::Duration;

pub use crate::relay::Relay;
pub use aof::{AppendOnlyFile, Effect, Transaction};
pub use cli::redis_cli;
pub use cluster::Cluster;
pub use proxy::Proxy;
pub use sentinels::Sentinels;
pub use server::{RedisServer, RedisServerBuilder};
pub use tls::Certificates;

/// How long servers may take for what they take a moment to do on a quiet machine.
const LONG: Duration = Duration::from_secs(60);
