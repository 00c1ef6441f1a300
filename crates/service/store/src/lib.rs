//! The application's tables, in SQLite or PostgreSQL.
//!
//! **It holds** [`Store`], which has a method for each read; [`Change`], through which every write
//! goes; the statements (`sql`), the migrations, the pools, the replicas and the failover;
//! [`Coherence`], which drops from this process's cache what other processes changed; the rows of a
//! backup (`dump`); and the hand-over of notifications to their followers ([`notify`]).
//!
//! **It must not hold** rules of the domain, which are in `tidegate-model` and `tidegate-domain`,
//! nor HTTP. It does not know which route or job calls it. No other crate runs a statement on these
//! tables.
//!
//! **Start reading** at `change.rs`: every statement of a write names what it makes stale, and the
//! caches hear of it if and only if the write is committed. Then read `schedules.rs` as an example
//! of a table. `db.rs` is the one place that knows which of the two databases it is; `open` and
//! `coherence` have the rest of the difference.

mod alerts;
mod analytics;
mod change;
mod coherence;
#[cfg(test)]
mod conformance;
mod db;
mod dump;
mod error;
#[cfg(test)]
mod failover;
mod files;
#[cfg(test)]
mod following;
#[cfg(test)]
mod ground;
mod imports;
#[cfg(test)]
mod in_place;
mod keys;
mod migrations;
mod notice;
mod notifications;
pub mod notify;
mod open;
mod origins;
mod pool;
mod preferences;
mod prune;
mod publish;
mod purge;
mod reminders;
mod reports;
pub mod running;
mod runs;
mod schedules;
mod sessions;
mod snapshot;
mod sql;
mod store;
mod tenants;
mod users;
mod value;
mod waiting_tasks;
mod webhooks;

pub use alerts::{AlertReport, AlertSender, AlertState, ReportChange, StateChange};
pub use analytics::Activity;
pub use analytics::{Tally, Views};
pub use change::Change;
pub use coherence::{Coherence, Lost, WatchEnded};
pub use db::{ReplicaState, ServerState, ServerWatch};
pub use dump::TargetError;
pub use dump::{Cells, ExistingData, Inserts, PAGE, TABLES, Table, Target};
pub use error::StoreError;
pub use files::StoredFile;
pub use imports::{Advanced, ImportProgress, Reserved};
pub use imports::{FailedImport, ImportFailure, RejectedLine};
pub use keys::{KeyInfo, MOST_KEYS};
pub use notifications::NewNotification;
pub use notifications::{Ends, Notification};
pub use open::{OpenError, ServerError, ServerFault};
pub use pool::{PoolState, WatchedPool};
pub use purge::{Purge, RowError};
pub use reminders::{DueSchedule, Occurring, PendingReminder, SentReminder};
pub use reports::{Named, Sum};
pub use runs::RunFiles;
pub use schedules::{Creation, Cursor, CursorError, Page, Schedule};
pub use snapshot::Snapshot;
pub use store::Store;
pub use tenants::TenantPage;
pub use users::UserPage;
pub use webhooks::Webhook;
