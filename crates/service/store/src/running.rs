//! Users of the tables: any number of nodes, or one restore.
//!
//! On SQLite, a node takes a shared lock on a file in the data directory. On PostgreSQL, each
//! connection of a node takes a shared advisory lock, named after the schema. Both are released
//! when the process ends, however it ends.

mod connection;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::{ConnectOptions, PgConnection};
use tidegate_settings::DatabaseSettings;

use super::dump::TargetError;
use super::error::StoreError;
use super::open::{OpenError, PRIVATE, lock_directory};
use super::sql::running;
use super::value::Row;

pub(super) use connection::join;

/// Keeps a restore out of the tables until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct RestoreGuard {
    _lock: File,
}

/// Exclusive use of the tables. No other process uses them or can start to.
pub(super) enum ExclusiveUse {
    /// The lock of the directory, which prevents that it is opened, and the exclusive lock of
    /// running nodes.
    Directory { _opening: File, _running: File },
    /// The connection that has the server's lock.
    Server { _connection: Box<PgConnection> },
}

/// Registers this process as a user of the tables in a directory, which is created if it does not
/// exist. Waits for a restore, and for another process that is opening them.
///
/// # Errors
///
/// [`OpenError`] if the directory can't be used.
pub async fn hold(directory: &Path) -> Result<RestoreGuard, OpenError> {
    let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
    let _opening = lock_directory(directory.to_owned()).await.map_err(failed)?;
    let lock = file(directory).map_err(failed)?;
    // A restore has it only while it also has the other lock.
    lock.lock_shared().map_err(failed)?;
    Ok(RestoreGuard { _lock: lock })
}

pub(super) async fn alone_in(directory: &Path) -> Result<ExclusiveUse, TargetError> {
    let failed = |source| OpenError::Directory { path: directory.to_owned(), source };
    let opening = lock_directory(directory.to_owned()).await.map_err(failed)?;
    let lock = file(directory).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(ExclusiveUse::Directory { _opening: opening, _running: lock }),
        Err(TryLockError::WouldBlock) => Err(TargetError::InUse { place: directory.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(failed(error).into()),
    }
}

pub(super) async fn alone_on(settings: &DatabaseSettings) -> Result<ExclusiveUse, TargetError> {
    let mut connection = settings.url.options().connect().await.map_err(StoreError::from)?;
    let alone = running::ALONE.with_on_postgres(&[]).fetch_one(&mut connection).await.map_err(StoreError::from)?;
    if Row::from(alone).int("taken")? == 1 {
        return Ok(ExclusiveUse::Server { _connection: Box::new(connection) });
    }
    Err(TargetError::InUse { place: settings.url.to_string() })
}

fn file(directory: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(PRIVATE).open(directory.join(".running"))
}
