//! The algorithms against their documented bounds and against reference models.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod adjusting;
mod clock_steps;
mod extremes;
mod fixed_window;
mod laws;
mod leaky_bucket;
mod quota_changes;
mod sliding_counter;
mod sliding_log;
mod sliding_window;
mod token_bucket;
mod trace;
mod windows;
