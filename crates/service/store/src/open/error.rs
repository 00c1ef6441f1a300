//! Reasons why a database can't be opened.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

use crate::coherence::Lost;
use crate::error::{StoreError, is_lost};

/// The database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory can't be created or written.
    #[error("data directory {path} can't be used: {source}", path = path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is damaged, or is not a database.
    #[error("{path} is damaged or not a database ({reason}); restore it from a backup, or move it away to start empty", path = path.display())]
    Corrupt {
        /// Path of the file.
        path: PathBuf,
        /// SQLite's message.
        reason: String,
    },
    /// The file belongs to another program.
    #[error("{path} is a database of another program; choose another data directory", path = path.display())]
    Foreign {
        /// Path of the file.
        path: PathBuf,
    },
    /// A newer version of Tidegate wrote the file.
    #[error("{path} was written by a newer version of Tidegate (schema {found}, this one knows {known}); start that version", path = path.display())]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Schema version of the file.
        found: i64,
        /// Newest schema version that this program knows.
        known: i64,
    },
    /// A migration failed. The schema is unchanged by it.
    #[error("{path} can't be migrated to this version: {source}", path = path.display())]
    Migration {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        source: Box<MigrateError>,
    },
    /// Any other failure to open.
    #[error("{path} can't be opened: {source}", path = path.display())]
    Database {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
    },
    /// A PostgreSQL server can't be used.
    #[error("database {0}")]
    Server(#[from] ServerError),
}

/// A PostgreSQL server can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ServerError {
    /// Address and database, without login.
    pub place: String,
    /// The cause.
    #[source]
    pub reason: ServerFault,
}

/// Reason why a PostgreSQL server can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// It can't be reached, refuses the login, or a statement failed.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// Like [`Database`](Self::Database), reported by the store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The server is a replica of another one.
    #[error("this server is a replica and can't be written")]
    Follower,
    /// No schema exists for the tables.
    #[error("there is no schema for the tables; create that of `search_path`")]
    NoSchema,
    /// The schema contains tables of another program.
    #[error(
        "schema `{schema}` contains tables of another program; set another database, or a schema by `?options[search_path]=…`"
    )]
    Foreign {
        /// Name of the schema.
        schema: String,
    },
    /// A newer version of Tidegate migrated the schema.
    #[error(
        "it was written by a newer version of Tidegate (schema {found}, this one knows {known}); start that version"
    )]
    Newer {
        /// Schema version that was found.
        found: i64,
        /// Newest schema version that this program knows.
        known: i64,
    },
    /// A migration failed. The schema is unchanged by it.
    #[error("it can't be migrated to this version: {0}")]
    Migration(#[from] MigrateError),
    /// Listening for the commits of other processes failed.
    #[error("it sends no change notifications: {0}")]
    Deaf(#[from] Lost),
}

impl ServerFault {
    /// Whether the server may become usable without a change of settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_lost(error),
            Self::Store(error) => error.is_transient(),
            // A failover is in progress, or the name still resolves to the former primary.
            Self::Follower => true,
            Self::Deaf(lost) => lost.is_transient(),
            _ => false,
        }
    }

    /// Whether the server refuses the login.
    pub fn refuses_login(&self) -> bool {
        /// SQLSTATE class of invalid authorization.
        const AUTHORIZATION: &str = "28";
        let (Self::Database(error) | Self::Store(StoreError::Database(error))) = self else { return false };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| code.starts_with(AUTHORIZATION))
    }
}
