//! Sorted sets: one suite that runs in memory and on Redis, and the features that only Redis has.

#![cfg(feature = "shapes")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod boards;
mod feeds;
mod ground;
mod model;
#[cfg(feature = "redis")]
mod redis;
mod scores;
#[cfg(feature = "redis")]
mod torn_file;
