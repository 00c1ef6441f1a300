//! The HTTP layer against the rules of RFC 9111, RFC 9211 and RFC 5861, and against attackers.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod authorization;
mod collapsing;
mod gated;
mod ground;
mod hostile;
mod invalidating;
mod leaving;
mod private;
mod refused;
mod reporting;
mod reusing;
#[cfg(feature = "redis")]
mod shared;
mod storing;
mod validating;
mod varying;
