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

mod availability;
mod check;
mod client;
mod command;
mod config;
mod error;
mod keyspace;
mod script;
mod slot;
mod value;

pub use availability::Availability;
pub use client::{Client, Node};
pub use command::{Arg, Command};
pub use config::{Config, ConfigError, Role, Topology};
pub use error::{ConnectError, Error, ErrorKind};
pub use keyspace::{KeyGroup, Keyspace, KeyspaceError};
pub use script::{ClockPrelude, Script};
pub use value::Value;
