//! Result codes of SQLite, and the errors of the broker that they become.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::BrokerError;

pub(super) const BUSY: i32 = 5;
pub(super) const LOCKED: i32 = 6;
pub(super) const PERMISSION: i32 = 3;
pub(super) const READ_ONLY: i32 = 8;
pub(super) const IO: i32 = 10;
pub(super) const CORRUPT: i32 = 11;
pub(super) const FULL: i32 = 13;
pub(super) const CANNOT_OPEN: i32 = 14;
pub(super) const NOT_A_DATABASE: i32 = 26;

/// SQLite's primary result code.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Converts the store's error.
pub(super) fn failed(operation: &'static str, error: Arc<sqlx::Error>) -> BrokerError {
    if matches!(*error, sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) {
        return BrokerError::Closed;
    }
    let code = primary_code(&error);
    if code == Some(FULL) {
        return BrokerError::Full { operation, source: Box::new(error) };
    }
    let transient =
        matches!(*error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) || matches!(code, Some(BUSY | LOCKED | IO));
    // A failed transaction is rolled back. Only two kinds of failed commits may be visible to other
    // processes or after a restart: the disk failed, or the file was deleted meanwhile.
    let gone_after_commit = matches!(&*error, sqlx::Error::Io(error) if error.kind() == ErrorKind::Other);
    let may_have_run = code == Some(IO) || gone_after_commit;
    BrokerError::Store { operation, transient, may_have_run, source: Box::new(error) }
}
