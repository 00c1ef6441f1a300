//! The algorithms against their documented bounds and against reference models.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod clock_steps;
mod extremes;
mod fixed_window;
mod laws;
mod sliding_window;
mod token_bucket;
mod trace;
