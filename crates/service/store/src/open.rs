//! Opens the database: creates, checks and migrates it, or fails with a precise error.

mod directory;
mod error;
pub(super) mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tidegate_cache::TieredCache;
use tidegate_queue::OpenFile;

use super::coherence::Coherence;
use super::db::Db;
use super::error::StoreError;
use super::migrations::{SQLITE as MIGRATIONS, newest};
use super::origins::Origins;
use super::pool::Connections;
use super::prune;
use super::sql::tenants::INSTALLATION;
use super::store::Store;
use super::waiting_tasks::WaitingTasks;
use tokio_util::sync::CancellationToken;

pub(super) use directory::{PRIVATE, lock_directory, make_private};
pub use error::{OpenError, ServerError, ServerFault};

/// Number of read connections. In WAL mode, SQLite's readers run in parallel with the writer.
const READERS: u32 = 4;
/// Number of write connections. SQLite has one writer at a time; writers of this process wait for
/// the connection.
const WRITERS: u32 = 1;
/// How long a writer waits for the writer of another process.
const BUSY: Duration = Duration::from_secs(10);
/// `application_id` of the file: "TIDE" in ASCII.
const APPLICATION_ID: i64 = 0x5449_4445;
/// Maximum size in bytes of a file that is checked page by page at start. Of a larger file only the
/// structure is read.
const CHECKED_AT_START: u64 = 256 << 20;

impl Store {
    /// Opens the SQLite database at `path`, creates it if it does not exist, and migrates it to the
    /// schema of this version.
    ///
    /// Several processes may open it concurrently: one migrates and the others wait. The returned
    /// [`Coherence`] runs until `shutdown`. `cache` makes the cache in front of the tables from
    /// their [`installation`](Self::installation).
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the directory or file can't be used. A file of another program or of a
    /// newer version is not changed.
    pub async fn open(
        path: &Path,
        cache: impl FnOnce(&str) -> TieredCache,
        shutdown: CancellationToken,
    ) -> Result<(Self, Coherence), OpenError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let lock = lock_directory(directory.to_owned())
            .await
            .map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged commit survives a power failure, not only a killed process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .thread_name(|number| format!("app-db-{number}"));
        let failed = |source: sqlx::Error| explain(path, source);

        make_private(path).map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
        inspect(path).await?;
        let writer = pool(WRITERS).connect_with(options.clone()).await.map_err(failed)?;
        claim(&writer, path).await?;
        migrate(&writer, path).await?;
        drop(lock);

        // If the file is removed while the process runs, SQLite must not create an empty one.
        let options = options.create_if_missing(false);
        let reader = pool(READERS).connect_with(options.clone()).await.map_err(failed)?;
        let installation = INSTALLATION.with(&[]).fetch_one(&reader).await.map_err(failed)?;
        let installation: String = installation.try_get("id").map_err(failed)?;
        let cache = cache(&installation);
        let store = Self {
            db: Db::Sqlite {
                reader: Connections::new("app-read", READERS, reader),
                writer: Connections::new("app-write", WRITERS, writer),
                file: OpenFile::at(path)
                    .map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?,
            },
            cache,
            installation: installation.into(),
            origins: Origins::new(),
            changes: Arc::default(),
            news: WaitingTasks::default(),
        };
        let coherence = Coherence::start(&store, &options, shutdown.clone()).await.map_err(|error| match error {
            StoreError::Database(source) => explain(path, source),
            other => OpenError::Corrupt { path: path.to_owned(), reason: other.to_string() },
        })?;
        // Starts after the cache has processed all existing rows: pruning must not remove an
        // invalidation that the cache has not seen.
        tokio::spawn(prune::run(store.clone(), coherence.clone(), shutdown));
        Ok((store, coherence))
    }
}

/// Connections to a local file don't age: each one is kept until the end, or until it can't begin a
/// transaction any more.
///
/// On a full disk SQLite rolls back on its own. sqlx then considers the connection to be inside a
/// transaction for ever. Such a connection is closed instead of being handed out.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .max_lifetime(None)
        .idle_timeout(None)
        // The component `pool_wait` reports slow waits, with a configurable threshold.
        .acquire_slow_threshold(Duration::MAX)
        .before_acquire(|connection, _| {
            Box::pin(async move {
                match connection.begin_with("BEGIN").await {
                    Ok(transaction) => Ok(transaction.rollback().await.is_ok()),
                    Err(_) => Ok(false),
                }
            })
        })
}

/// Inspects the file without changing it: whether it is intact, belongs to Tidegate, and is not of
/// a newer version.
pub(super) async fn inspect(path: &Path) -> Result<(), OpenError> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    if length == 0 {
        return Ok(());
    }
    let failed = |source: sqlx::Error| explain(path, source);
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let mut connection = options.connect().await.map_err(failed)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema").fetch_one(&mut connection).await.map_err(failed)?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await.map_err(failed)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if length <= CHECKED_AT_START {
        let verdict: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await.map_err(failed)?;
        if verdict != "ok" {
            return Err(OpenError::Corrupt { path: path.to_owned(), reason: verdict });
        }
    }
    if tables > 0 {
        let found = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let known = newest(&MIGRATIONS);
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
    }
    connection.close().await.map_err(failed)
}

/// Sets the `application_id` of a new file before its first table is created.
async fn claim(writer: &sqlx::SqlitePool, path: &Path) -> Result<(), OpenError> {
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(statement).execute(writer).await.map(|_| ()).map_err(|source| explain(path, source))
}

async fn migrate(writer: &sqlx::SqlitePool, path: &Path) -> Result<(), OpenError> {
    MIGRATIONS
        .run(writer)
        .await
        .map_err(|source| OpenError::Migration { path: path.to_owned(), source: Box::new(source) })
}

/// Creates all tables in a new file and sets its `application_id`.
pub(super) async fn make_schema(connection: &mut sqlx::SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(statement).execute(&mut *connection).await.map_err(|source| explain(path, source))?;
    let made = MIGRATIONS.run(connection).await;
    made.map_err(|source| OpenError::Migration { path: path.to_owned(), source: Box::new(source) })
}

/// Maps SQLite's codes for "damaged" and "not a database" to [`OpenError::Corrupt`], and any other
/// to [`OpenError::Database`].
fn explain(path: &Path, source: sqlx::Error) -> OpenError {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let code = source
        .as_database_error()
        .and_then(|error| error.code().and_then(|code| code.parse::<i32>().ok()))
        // The low byte is the primary code.
        .map(|code| code & 0xff);
    match code {
        Some(CORRUPT | NOT_A_DATABASE) => OpenError::Corrupt { path: path.to_owned(), reason: source.to_string() },
        _ => OpenError::Database { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(path: &Path) -> Result<(Store, Coherence), OpenError> {
        Store::open(path, |_| TieredCache::builder().build(), CancellationToken::new()).await
    }

    #[test]
    fn a_wait_for_a_connection_is_not_logged_by_sqlx() {
        assert_eq!(pool(1).get_acquire_slow_threshold(), Duration::MAX);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let text = "this is a text, and long enough to be taken for a header of a page".repeat(100);
        std::fs::write(&path, &text).unwrap();
        assert!(matches!(open(&path).await, Err(OpenError::Corrupt { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[tokio::test]
    async fn a_damaged_page_is_found_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let (store, _) = open(&path).await.unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(store.writer()).await.unwrap();
        store.close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&path).await, Err(OpenError::Corrupt { .. })));
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let (store, _) = open(&path).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
        )
        .execute(store.writer())
        .await
        .unwrap();
        store.close().await;
        assert!(matches!(open(&path).await, Err(OpenError::Newer { found: 9999, .. })));
    }

    #[tokio::test]
    async fn a_database_of_another_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::query("CREATE TABLE theirs (id INTEGER)").execute(&pool).await.unwrap();
        pool.close().await;
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path).await, Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before, "their file is not even set to another journal mode");
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_does_not_end_all_writing() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = open(&directory.path().join("tidegate.db")).await.unwrap();
        let mut change = store.begin().await.unwrap();
        // SQLite does the same when the disk is full.
        sqlx::query("ROLLBACK").execute(change.connection()).await.unwrap();
        drop(change);
        for _ in 0..3 {
            store.begin().await.unwrap().commit().await.unwrap();
        }
    }

    #[tokio::test]
    async fn many_may_open_it_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let opened = futures_util::future::join_all((0..8).map(|_| open(&path))).await;
        assert!(opened.iter().all(Result::is_ok));
    }
}
