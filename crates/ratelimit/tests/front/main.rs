//! Limiters and detectors besides the quotas: the sketch limiter, new keys, concurrency, dynamic
//! quotas, anomalies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod anomaly;
mod capacity;
mod concurrency;
mod dynamic;
mod new_keys;
mod sketch_limiter;
#[path = "../support/mod.rs"]
mod support;
