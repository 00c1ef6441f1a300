//! Write-behind, in memory and on Redis, by the same tests; and with processes that are killed.

#![cfg(feature = "write-behind")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod ground;
mod increments;
#[cfg(feature = "json")]
mod killed;
#[cfg(feature = "json")]
mod redis;
#[cfg(feature = "json")]
mod topologies;
#[cfg(feature = "json")]
mod torn_file;
mod values;
