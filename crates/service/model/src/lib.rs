//! The plain types of the domain, which several crates of the service need: tenants, users,
//! schedules, files, the parts of an import, queues, alert rules, and the keys of the cache.
//!
//! Nothing here reads a table, a setting or the network.

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
