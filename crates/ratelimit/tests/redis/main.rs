//! The limiters with real servers: scripts compared with Rust, many processes, lost replies,
//! outages.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod exactness;
mod full_server;
mod keys;
mod leases;
mod lost_reply;
mod moment;
mod outage;
mod outage_debts;
mod outage_promise;
mod outage_under_way;
mod parity;
mod quotas;
mod support;
mod tenant_conformance;
mod tenant_outage;
mod tenants;
mod topologies;
mod torn_file;
