//! Each rule speaks where it should, and is silent where one thing is otherwise.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod caches;
mod every;
mod limits;
mod queues;
mod statements;
mod support;
