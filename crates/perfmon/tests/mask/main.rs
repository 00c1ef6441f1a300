//! What looks like a secret does not show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod examples;
mod keys;
mod plain;
mod planted;
mod time;
