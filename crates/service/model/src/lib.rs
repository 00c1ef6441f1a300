//! The plain types of the domain that several crates of the service need.
//!
//! **It holds** tenants and their keys ([`tenant`]), users ([`user`]), sessions ([`session`]),
//! stored passwords ([`password`]), schedules and their recurrence rules ([`schedule`]), files
//! ([`file`](mod@file)), the chunks and positions of an import ([`import`]), the queues
//! ([`queues`]), alert rules ([`alert_rules`]), and every key and tag of the cache
//! ([`cache_keys`]).
//!
//! **It must not hold** code that reads a table, a setting or the network. A type here is made from
//! text or numbers, checks them, and is then always valid. Statements are in `tidegate-store`, and
//! work for tenants is in `tidegate-domain`.
//!
//! **Start reading** at [`schedule`]: a `RawSchedule` comes from outside, and a `ScheduleDraft` has
//! passed every rule. Then read [`cache_keys`], which names what a write makes stale.

pub mod alert_rules;
pub mod cache_classes;
pub mod cache_keys;
pub mod file;
pub mod import;
pub mod password;
pub mod queues;
mod reject;
pub mod schedule;
pub mod session;
pub mod tenant;
pub mod user;
