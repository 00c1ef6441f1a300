//! What changes by itself stays within its bounds, and goes back.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod bounds;
mod follow;
mod revert;
mod support;
