//! The limiters: many keys, bounded memory, blocks, tenants, exact counters.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod blocks;
mod capacity;
mod concurrency;
mod deny_cache;
mod flood;
mod lists;
mod model;
mod presets;
mod quota_changes;
mod shadow;
mod single;
#[path = "../support/mod.rs"]
mod support;
mod tenants;
mod tiers;
#[cfg(feature = "tokio")]
mod waiting;
