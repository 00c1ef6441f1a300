//! Limiters and detectors besides the quotas: the front door, new keys, concurrency, dynamic
//! quotas, anomalies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod anomaly;
mod capacity;
mod concurrency;
mod dynamic;
mod front_door;
mod new_keys;
#[path = "../support/mod.rs"]
mod support;
