//! Redis servers for the tests of this crate.
#![allow(dead_code, unused_imports, unreachable_pub)] // each test file uses some of it

mod cluster;
mod proxy;
mod sentinels;
mod server;

use std::time::Duration;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use sentinels::Sentinels;
pub use server::{RedisServer, redis_cli};

pub const LONG: Duration = Duration::from_secs(30);
