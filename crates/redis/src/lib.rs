//! A small client for Redis and Valkey. Every command is sent once and has a time-out. While the
//! server is unavailable, calls fail immediately.
//!
//! ```no_run
//! use tidegate_redis::{Client, Command, Config, Role, Script};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::parse("redis://localhost:6379")?;
//! let redis = Client::connect(&config, Role::Durable).await?;
//!
//! let set = Command::new("SET").key("greeting").arg("hello").arg("PX").arg(60_000_u64);
//! redis.execute(set).await?;
//! assert_eq!(redis.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
//!
//! let add = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
//! let total = redis.run(&add, &["total"], vec![7_u64.into()]).await?.as_int()?;
//! # Ok(())
//! # }
//! ```
//!
//! | part | what it does |
//! |---|---|
//! | [`Config`], [`Topology`] | one server, Sentinels or a cluster, from a URL, with or without TLS |
//! | [`Client`], [`Command`] | pipelined commands over one connection to each primary |
//! | [`Script`] | a Lua script, sent by its digest; its source is sent if the server lacks it |
//! | [`Availability`] | the state of the circuit breaker |
//! | [`BlockingPool`] | blocking commands, each on a connection of its own |
//! | [`Tracking`] | notices of changed keys, from the server or over a channel, with a heartbeat |
//! | [`Replicas`] | reads from replicas within a maximum lag |
//! | [`Scan`] | all keys of all primaries, page by page |
//! | [`Keyspace`] | key names under one prefix, grouped by slot |
//! | [`NodeInfo`], [`SlowCommand`] | figures of each server, their warnings, and its slow commands |
//!
//! The crate has no Cargo features. [How it behaves during faults, and what it does not
//! guarantee][guarantees], is a page of its own.
//!
//! Complete examples: [all of them][examples] connect with this crate, [a product
//! page][product_page] with two roles.
//!
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [examples]: https://github.com/tidegate/tidegate/blob/main/examples/README.md
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/redis.md

mod append_only;
mod availability;
mod blocking;
mod check;
mod client;
mod command;
mod config;
mod error;
mod info;
mod keyspace;
mod layout;
mod replicas;
mod scan;
mod script;
mod shards;
mod slot;
mod slowlog;
mod tracking;
mod value;

pub use availability::Availability;
pub use blocking::BlockingPool;
pub use client::{Client, Diagnosis, Node};
pub use command::{Arg, Command};
pub use config::{Config, ConfigError, Role, Topology};
pub use error::{ConnectError, Error, ErrorKind};
pub use info::{NodeInfo, ReplicaInfo, Thresholds, Warning};
pub use keyspace::{KeyGroup, Keyspace, KeyspaceError};
pub use layout::Layout;
pub use replicas::Replicas;
pub use scan::{Scan, escape_glob};
pub use script::{ClockPrelude, Script};
pub use slowlog::SlowCommand;
pub use tracking::{Cause, Channel, Notice, Tracking};
pub use value::Value;
