//! Automatic changes stay within their bounds and can be reverted.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod bounds;
mod follow;
mod revert;
mod support;
