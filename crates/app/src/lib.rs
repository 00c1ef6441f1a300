//! What both binaries share: settings, the store, jobs and their handlers, telemetry.
//!
//! [`Node`](node::Node) holds it all; `tidegate-api` puts routes on a node, `tidegate-worker` runs its worker.

mod alert_rules;
pub mod backup;
pub mod bearer;
pub mod cache_keys;
pub mod command_line;
mod csv;
mod database_mark;
mod email;
mod export;
pub mod files;
pub mod import;
pub mod jobs;
pub mod node;
pub mod notify;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp/absent.rs"]
mod otlp;
mod outgoing;
pub mod password;
pub mod probes;
pub mod redis;
pub mod report;
pub mod schedule;
mod secret_watch;
pub mod serve;
pub mod session;
pub mod settings;
pub mod spool;
mod spool_sweep;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod tls;
pub mod user;
pub mod waiting_start;
pub mod webhook;

pub use tidegate_base::{clock, shutdown, stdout};
use tidegate_base::{identity, places, private, similar};

/// The examples of the README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The service on the front page of `tidegate-perfmon`, which may not depend on axum itself.
#[cfg(doctest)]
#[doc = include_str!("../../perfmon/src/axum.md")]
struct Monitored;
