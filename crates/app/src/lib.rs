//! What both binaries share: settings, the store, jobs and their handlers, telemetry.
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

use tidegate_base::{places, private};
use tidegate_domain::export;
use tidegate_outgoing::email;

pub use tidegate_base::{clock, shutdown, stdout};
pub use tidegate_domain::{backup, files, import, password, report, spool};
pub use tidegate_model::{cache_keys, schedule, session, user};
pub use tidegate_outgoing::redis;
pub use tidegate_server::{bearer, serve, tls};
pub use tidegate_settings as settings;
pub use tidegate_store as store;
pub use tidegate_store::notify;
pub use tidegate_telemetry as telemetry;

/// Posts to URLs that others have named, and what a tenant may name as its own.
pub mod webhook {
    pub use tidegate_outgoing::webhook::*;

    pub use tidegate_domain::new_webhook::{NewWebhook, Refused};
}

/// Tenants, and what changes their plans.
pub mod tenant {
    pub use tidegate_model::tenant::*;

    pub use tidegate_domain::plans::change_plan;
}

/// The examples of the README, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The service on the front page of `tidegate-perfmon`, which may not depend on axum itself.
#[cfg(doctest)]
#[doc = include_str!("../../perfmon/src/axum.md")]
struct Monitored;
