//! L2: several nodes on one Redis. Each node here stands for a process: it has its own client, L1
//! and follower.

#![cfg(all(feature = "redis", feature = "json"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "in a test a panic is an answer")]

mod batches;
mod expiring;
mod fencing;
mod following;
mod full_server;
mod ground;
mod interleaving;
mod joining;
mod leases;
mod lifetimes;
mod outage;
mod processes;
mod promptness;
mod published;
mod refused;
mod remembering;
mod replicas;
mod round_trips;
mod sharing;
mod stale;
mod tenants;
mod too_big;
mod topologies;
mod torn_fences;
mod torn_file;
#[cfg(feature = "shapes")]
mod torn_shapes;
mod uncached;
