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
//! redis.execute(Command::new("SET").key("greeting").arg("hello").arg("PX").arg(60_000_u64)).await?;
//! assert_eq!(redis.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
//!
//! let add = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
//! let total = redis.run(&add, &["total"], vec![7_u64.into()]).await?.as_int()?;
//! # Ok(())
//! # }
//! ```
//!
//! Complete examples: [all of them][examples] connect with this crate, [a product
//! page][product_page] with two roles.
//!
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [examples]: https://github.com/tidegate/tidegate/blob/main/examples/README.md
//!
//! # Behaviour during faults
//!
//! | event | result for callers |
//! |---|---|
//! | the server hangs | commands in progress time out; later ones fail in microseconds (1) |
//! | the server crashes | commands in progress fail at once (2), later ones in microseconds (1) |
//! | the server is back | a background probe closes the breaker; no caller has to act |
//! | a failover | errors (3) until the new primary serves; the client finds it |
//! | a slot of a cluster moves | none: redirections are followed |
//! | one shard of a cluster is unavailable | only commands for its slots fail |
//! | `SCRIPT FLUSH`, a new server | none: an unknown script is sent with its source |
//! | more than 65,536 commands wait | `Busy`; nothing was sent |
//!
//! 1. Kind `Unavailable`.
//! 2. Kind `Disconnected`.
//! 3. Kind `ReadOnly`, `Loading` or `Disconnected`.
//!
//! # What is not guaranteed
//!
//! - **That a failed command did not run.** After a time-out or a lost connection this is unknown
//!   ([`Error::may_have_run`]). A command that must not run twice needs an id that a script checks.
//! - **That an acknowledged write survives.** Redis answers before the write is on its disk and its
//!   replicas, unless it is configured otherwise (`appendfsync always`, `WAIT`). A failover loses
//!   the writes that the new primary had not received.
//! - **Order between tasks.** Commands of one task reach a server in the order in which they were
//!   awaited. Nothing else is ordered.
//! - **Fairness.** All commands share one connection to each server. A slow script or a large reply
//!   delays the commands after it. If it takes longer than the time-out, it opens the breaker.
//! - **Reads from replicas.** Every command goes to a primary. Only reads through [`Replicas`] go
//!   to replicas, and may return old data.
//! - **Certainty during a slot migration.** A command that is redirected by `ASK` may lose its
//!   connection to the old node. It fails with `Disconnected`, and whether it ran on the new node
//!   is unknown.

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
mod mutex;
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
pub use mutex::Mutex;
pub use replicas::Replicas;
pub use scan::{Scan, escape_glob};
pub use script::{ClockPrelude, Script};
pub use slowlog::SlowCommand;
pub use tracking::{Cause, Channel, Notice, Tracking};
pub use value::Value;
