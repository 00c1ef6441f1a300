//! Redis for tests: servers with replicas and Sentinels, clusters, a proxy that causes faults, a
//! relay that delays replication, and torn append-only files.

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

/// Time limit for operations of servers that take a moment on an idle machine.
const LONG: Duration = Duration::from_secs(60);
