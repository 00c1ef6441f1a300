//! Each rule applies if all of its conditions hold, and does not apply if one of them fails.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod caches;
mod every;
mod limits;
mod queues;
mod statements;
mod support;
