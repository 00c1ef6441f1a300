//! Errors of the store.

mod codes;

use super::purge::RowError;

pub(super) use codes::is_lost;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused the statement or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row has a value that this version can't read.
    #[error("{table} `{id}` in the database has an unreadable {column}")]
    Unreadable {
        /// Table of the row.
        table: &'static str,
        /// Key of the row.
        id: String,
        /// Column that can't be read.
        column: &'static str,
    },
    /// An invalidation is not a valid key or tag.
    #[error("the database contains an unreadable invalidation: {0}")]
    Invalidation(#[from] RowError),
    /// The record to create already exists.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// Kind of the record.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The limit on the number of records is reached.
    #[error("there are already {most} {what}, which is the maximum")]
    Full {
        /// Kind of the records, in the plural.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// The process was ending before the outcome of the commit was known.
    #[error("the commit was interrupted by the end of the process")]
    CutOff,
    /// The database was lost during the commit. The transaction may or may not be committed.
    #[error("the connection to the database was lost during a commit, whose outcome is unknown: {0}")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The file was deleted, moved or replaced while it was open. Anything written to it would be
    /// lost when the process ends.
    #[error("database: {0}")]
    Gone(#[source] std::io::Error),
    /// A statement of the transaction failed before the commit.
    #[error("a transaction was rolled back because one of its statements failed")]
    RolledBack,
}

/// Length of a PostgreSQL error code.
const SQLSTATE: usize = 5;

impl StoreError {
    /// Whether a later retry may succeed: the database was unreachable, busy, or its disk was full.
    /// If the outcome of a commit is unknown, the caller must check it before a retry.
    pub fn is_transient(&self) -> bool {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const FULL: i32 = 13;
        if self.is_lost() || matches!(self, Self::Gone(_)) {
            return true;
        }
        let Self::Database(error) = self else { return matches!(self, Self::OutcomeUnknown(_)) };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| match code.parse::<i32>() {
            // SQLite's codes are shorter. The low byte is the primary code.
            Ok(number) if code.len() < SQLSTATE => matches!(number & 0xff, BUSY | LOCKED | FULL),
            _ => codes::is_busy(&code),
        })
    }

    /// Whether the database was unreachable and has certainly changed nothing.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Database(error) if is_lost(error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Connection, SqliteConnection};

    use super::StoreError;

    async fn fail(connection: &mut SqliteConnection, statement: &'static str) -> StoreError {
        sqlx::query(statement).execute(connection).await.unwrap_err().into()
    }

    #[tokio::test]
    async fn a_busy_and_a_full_database_pass_and_a_wrong_statement_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("any.db");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(Duration::ZERO);
        let mut one = options.connect().await.unwrap();
        let mut other = options.connect().await.unwrap();
        let held = one.begin_with("BEGIN IMMEDIATE").await.unwrap();
        assert!(fail(&mut other, "BEGIN IMMEDIATE").await.is_transient(), "busy");
        drop(held);

        for statement in ["CREATE TABLE t (x)", "PRAGMA max_page_count = 3"] {
            sqlx::query(statement).execute(&mut one).await.unwrap();
        }
        assert!(fail(&mut one, "INSERT INTO t VALUES (zeroblob(1000000))").await.is_transient(), "full");

        assert!(!fail(&mut one, "INSERT INTO nothing VALUES (1)").await.is_transient(), "wrong");
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_transient());
        assert!(!StoreError::CutOff.is_transient());
        assert!(StoreError::OutcomeUnknown(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::OutcomeUnknown(sqlx::Error::PoolTimedOut).is_lost(), "never blindly again");
    }
}
