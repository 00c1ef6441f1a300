//! A node: what one process of the service holds, whichever program it is.
//!
//! **It holds** [`Node`](node::Node), which puts settings, store, cache, job broker, spool, files
//! and telemetry together; the job types and their handlers ([`jobs`]); the probes and `/metrics`
//! ([`probes`]); a start that waits for its servers ([`waiting_start`]); the command line of both
//! programs ([`command_line`]); and the sweep of uploads that no job will read.
//!
//! **It must not hold** the routes of the API, its pages or its layers. They are in `tidegate-api`,
//! which puts them on a node; `tidegate-worker` runs [`Node::worker`](node::Node::worker) alone.
//! Work that needs no job and no probe belongs into a crate below.
//!
//! **Start reading** at `node.rs`, where [`Node::start`](node::Node::start) shows the order in
//! which the parts are made. Then read a handler, for example `jobs/import.rs`.

pub mod command_line;
mod database_mark;
pub mod jobs;
pub mod node;
pub mod probes;
mod secret_watch;
pub mod serving;
mod spool_sweep;
pub mod waiting_start;

/// The examples of the published crates, compiled and run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/guides/crates.md")]
struct Crates;

/// The example of `tidegate-perfmon`'s front page, which may not depend on axum itself.
#[cfg(doctest)]
#[doc = include_str!("../../../perfmon/src/axum.md")]
struct Monitored;
