//! Detects commits to a SQLite file with one system call.
//!
//! In WAL mode, every process that has the file open shares an index of its log, the file that ends
//! with `-shm`. [SQLite documents the format][format]. The index begins with a header that each
//! commit rewrites. The header contains a count of the commits and a checksum of the fields before
//! it. A commit becomes visible only with its header. So a process that finds the header unchanged
//! has missed no commit. If it has changed, the process queries SQLite itself.
//!
//! [format]: https://www.sqlite.org/walformat.html

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of the header in bytes. A second copy follows it.
const HEADER: usize = 48;
/// Offset of the commit counter in the header.
const CHANGES: usize = 8;
/// Offset of the checksum. Its first half is enough together with the counter.
const CHECKSUM: usize = 40;

/// The index of a database's log. It stays open until the process ends.
///
/// When a process closes a file, the system releases all locks of the process on it, including
/// SQLite's.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalIndex(&'static File);

/// State of the log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// The moment up to which all commits are known. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ReadUpTo {
    index: Option<WalIndex>,
    /// The number of the moment plus one. 0 if nothing is known.
    up_to: Arc<AtomicU64>,
}

impl ReadUpTo {
    /// Knows nothing yet. If the index can't be read, that does not change.
    pub(super) fn of(database: &Path) -> Self {
        let index = WalIndex::of(database).inspect_err(|error| {
            tracing::info!(%error, "the index of the database's log can't be read: each request asks the database itself");
        });
        Self { index: index.ok(), up_to: Arc::default() }
    }

    /// Returns the current state of the log.
    pub(super) fn now(&self) -> Option<Moment> {
        self.index?.now().ok()
    }

    /// Sets the moment up to which all commits are known. `None` means that nothing is known.
    pub(super) fn set(&self, moment: Option<Moment>) {
        self.up_to.store(moment.map_or(0, Moment::number), Ordering::SeqCst);
    }

    /// Whether there is no commit after the known moment.
    pub(super) fn is_everything(&self) -> bool {
        let up_to = self.up_to.load(Ordering::SeqCst);
        up_to != 0 && self.now().is_some_and(|now| now.number() == up_to)
    }
}

impl Moment {
    /// Returns the number of the moment plus one, so never 0.
    fn number(self) -> u64 {
        self.0.saturating_add(1)
    }
}

impl WalIndex {
    /// Opens the index of a database that this process has open.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        let mut path = OsString::from(database);
        path.push("-shm");
        Ok(Self(Box::leak(Box::new(File::open(path)?))))
    }

    /// Returns the current state of the log.
    pub(super) fn now(self) -> io::Result<Moment> {
        let mut header = [0; HEADER];
        self.0.read_exact_at(&mut header, 0)?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Ok(Moment(u64::from(word(CHANGES)) << 32 | u64::from(word(CHECKSUM))))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions, Connection, SqliteConnection};

    use super::*;

    async fn connect(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap()
    }

    async fn run(connection: &mut SqliteConnection, statement: &'static str) {
        sqlx::query(statement).execute(connection).await.unwrap();
    }

    #[tokio::test]
    async fn every_commit_shows_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("any.db");
        let (mut one, mut other) = (connect(&path).await, connect(&path).await);
        run(&mut one, "CREATE TABLE t (x)").await;
        let known = ReadUpTo::of(&path);
        assert!(!known.is_everything(), "nothing is known yet");
        for round in 0..200 {
            let before = known.now();
            known.set(before);
            assert!(known.is_everything());
            let writer = if round % 2 == 0 { &mut one } else { &mut other };
            let mut change = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
            run(&mut change, "INSERT INTO t VALUES (1)").await;
            if round % 3 == 0 {
                change.rollback().await.unwrap();
                assert!(known.is_everything(), "nothing was committed");
                continue;
            }
            assert!(known.is_everything(), "not yet");
            change.commit().await.unwrap();
            assert!(!known.is_everything(), "round {round}");
            if round % 10 == 0 {
                run(&mut one, "PRAGMA wal_checkpoint(TRUNCATE)").await;
                assert!(!known.is_everything(), "a log that begins anew is not the one before");
            }
        }
        known.set(None);
        assert!(!known.is_everything());
    }

    #[test]
    fn what_cannot_be_read_is_never_known() {
        let known = ReadUpTo::of(Path::new("/nowhere/any.db"));
        known.set(known.now());
        assert!(!known.is_everything());
    }
}
