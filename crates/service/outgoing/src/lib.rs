//! Connections that a node opens to other servers.
//!
//! **It holds** the HTTP client ([`client()`]), which follows no redirect and uses no proxy of the
//! environment; webhooks ([`webhook`]), which are signed where there is a key, and refuse private
//! addresses unless a setting allows them; mail ([`email`]), over SMTP or into files; and the
//! clients of Redis ([`redis`]), one for the queue, one for the limits and one for the cache.
//!
//! **It must not hold** decisions about what is sent, when, or to which receiver. Alerts are in
//! `tidegate-telemetry`, jobs are in `tidegate-node`. It knows no table.
//!
//! **Start reading** at [`webhook`]: it keeps a URL that an outsider has named away from the
//! private network.

mod client;
pub mod email;
pub mod redis;
pub mod webhook;

pub use client::client;
