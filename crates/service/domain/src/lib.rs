//! What Tidegate does for tenants, over the store and beside the queue: files and the spool of uploads,
//! imports, exports, reports, backups, passwords, plans and webhooks.
//!
//! Nothing here knows which job or route asks for it.

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
