//! What both binaries share: the node, which puts all parts of the service together, and its jobs.
//!
//! [`Node`](node::Node) holds it all; `tidegate-api` puts routes on a node, `tidegate-worker` runs its worker.

pub mod command_line;
mod database_mark;
pub mod jobs;
pub mod node;
pub mod probes;
mod secret_watch;
pub mod serving;
mod spool_sweep;
pub mod waiting_start;

/// The examples of the README, compiled and run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../README.md")]
struct Readme;

/// The example of `tidegate-perfmon`'s front page, which may not depend on axum itself.
#[cfg(doctest)]
#[doc = include_str!("../../../perfmon/src/axum.md")]
struct Monitored;
