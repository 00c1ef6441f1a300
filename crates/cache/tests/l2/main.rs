//! L2: several nodes on one Redis. Each node here is what a process would be: a client, an L1 and a follower of its own.

#![cfg(all(feature = "redis", feature = "json"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod batches;
mod fencing;
mod following;
mod ground;
mod outage;
mod sharing;
mod tenants;
mod topologies;
