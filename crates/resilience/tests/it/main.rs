//! What callers of the policies see.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod breaker;
mod bulkhead;
mod keyed;
#[cfg(feature = "tower")]
mod layers;
mod pipeline;
mod retry;
mod support;
mod timeout;
