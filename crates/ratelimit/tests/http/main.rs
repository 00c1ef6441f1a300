//! The HTTP side: identity, headers, layer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod extractors;
mod headers;
mod identity;
mod layer;
mod policy;
mod servers;
