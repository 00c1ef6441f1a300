//! What the service does for tenants, on top of the store and beside the queue.
//!
//! **It holds** files in a directory or a bucket ([`files`]), the spool of uploads ([`spool`]), the
//! readers of imports ([`import`]), the writers of exports ([`export`]), reports ([`report`]) and
//! backups ([`backup`]), the hashing of passwords ([`password`]), changes of plans ([`plans`]) and
//! the rules for a tenant's webhooks ([`new_webhook`]).
//!
//! **It must not hold** routes or jobs, and does not know which of them calls it. Plain types that
//! other crates need too are in `tidegate-model`, and statements are in `tidegate-store`.
//!
//! **Start reading** at [`import`], which turns bytes into checked schedules and readable rejects,
//! and at [`spool`], where the bytes come from.

pub mod backup;
mod csv;
pub mod export;
pub mod files;
pub mod import;
pub mod new_webhook;
pub mod password;
pub mod plans;
pub mod report;
pub mod spool;
