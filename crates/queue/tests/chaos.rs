//! Real processes, killed and suspended at random, on a Redis that is killed too. Every job whose
//! enqueue was acknowledged runs to its end, no job is stuck, and each extra run is explained.
//! `cargo xtask prove` runs it at full size.
#![cfg(any(feature = "redis", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a proof shows its figures")]

#[path = "chaos/blocked.rs"]
mod blocked;
#[path = "chaos/child.rs"]
mod child;
#[cfg(feature = "redis")]
#[path = "chaos/failover.rs"]
mod failover;
#[path = "chaos/fleet.rs"]
mod fleet;
#[path = "chaos/kills.rs"]
mod kills;
#[path = "chaos/leases.rs"]
mod leases;
#[path = "chaos/location.rs"]
mod location;
#[path = "chaos/log_file.rs"]
mod log_file;
#[cfg(feature = "redis")]
#[path = "chaos/restarts.rs"]
mod restarts;
#[cfg(feature = "redis")]
#[path = "chaos/torn.rs"]
mod torn;
#[path = "chaos/verdict.rs"]
mod verdict;
