//! Connections that a node makes to others: over HTTP, to mail servers, to webhooks and to Redis.

mod client;
pub mod email;
pub mod redis;
pub mod webhook;

pub use client::client;
