//! A narrow client for Redis and Valkey: every command is sent once and bounded in time, and while the server is away
//! callers are told so at once.
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
//! Worked examples: [all of them][examples] connect by this crate, [a product page][product_page] with two roles.
//!
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [examples]: https://github.com/tidegate/tidegate/blob/main/examples/README.md
//!
//! # What happens when
//!
//! | event | what a caller sees |
//! |---|---|
//! | the server hangs | the commands under way wait for their time-out; later ones fail within microseconds (kind `Unavailable`) |
//! | the server dies | the commands under way fail at once (`Disconnected`), later ones within microseconds |
//! | it is back | the breaker's own probe notices and closes it; nobody has to call anything |
//! | a failover | `ReadOnly`, `Loading` or `Disconnected` until the new primary serves; the client finds it by itself |
//! | a slot of a cluster moves | nothing: redirections are followed |
//! | one shard of a cluster is out | only its slots fail |
//! | `SCRIPT FLUSH`, a new server | nothing: a script that isn't known is sent whole |
//! | more than 65,536 commands wait | `Busy`; nothing was sent |
//!
//! # What it does not guarantee
//!
//! - **That a failed command did not run.** After a time-out or a lost connection nobody knows
//!   ([`Error::may_have_run`]). What may not happen twice needs an id that the script checks.
//! - **That an acknowledged write survives.** Redis answers before its disk and its replicas have it, unless it is told
//!   otherwise (`appendfsync always`, `WAIT`). A failover loses what the new primary had not yet received.
//! - **Order between tasks.** One task's commands reach one server in the order in which they were awaited, no more.
//! - **Fairness.** All commands share one connection to each server: a slow script or a large reply holds up those behind
//!   it, and if it takes longer than the time-out, it opens the breaker.
//! - **Reads from replicas.** Every command goes to a primary, but for what is asked of [`Replicas`] by name, and may be old.
//! - During the migration of a slot a command that is redirected by `ASK` and then loses its connection to the old node is
//!   answered `Disconnected`, as always; whether it ran on the new one is not known.

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
