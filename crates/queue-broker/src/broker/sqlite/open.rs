//! Opening the file: checks its application, its integrity and its schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlitePool};
use tidegate_clock::Clock;
use tokio::sync::watch;

use super::error::{BUSY, CANNOT_OPEN, CORRUPT, FULL, LOCKED, NOT_A_DATABASE, PERMISSION, READ_ONLY, primary_code};
use super::in_place::OpenFile;
use super::schema;
use super::writer::Writer;

/// How durable a commit is when it is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk (`synchronous = FULL`): survives a power failure.
    #[default]
    Full,
    /// Passed to the operating system (`synchronous = NORMAL`): survives the process. A power
    /// failure loses the last commits; the file stays consistent.
    Normal,
}

/// Options for opening a file.
#[derive(Clone)]
#[must_use]
pub struct SqliteOptions {
    durability: Durability,
    busy_timeout: Duration,
    readers: u32,
    check_up_to: u64,
    reports: bool,
    clock: Clock,
}

impl SqliteOptions {
    /// Prefix of the names of all threads that run statements. A number follows it.
    pub const THREADS: &'static str = "queue-db-";

    /// [`Durability::Full`], 5 s busy time-out, 4 readers, the machine's clock. Files up to 64 MiB
    /// are checked for damage. Statements are not reported.
    pub fn new() -> Self {
        Self {
            durability: Durability::Full,
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            check_up_to: 64 << 20,
            reports: false,
            clock: Clock::system(),
        }
    }

    /// Sets how durable a commit is when it is reported.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how long to wait for another process's transaction.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets the number of reading connections, at least one.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Sets the largest size, in bytes, of a file that is read completely for damage when it is
    /// opened. Larger files are only checked briefly. Reading takes about a second per 500 MB.
    pub fn check_up_to(mut self, bytes: u64) -> Self {
        self.check_up_to = bytes;
        self
    }

    /// Sets whether each statement emits an event on the `tracing` target `sqlx::query`, with its
    /// text, rows and time. The level is DEBUG, and WARN from 1 s on. Values are bound and not in
    /// the text. A subscriber distinguishes these statements from others by the name of the thread,
    /// see [`THREADS`](Self::THREADS). Costs a microsecond or two per statement if there is a
    /// subscriber.
    pub fn report_statements(mut self, reports: bool) -> Self {
        self.reports = reports;
        self
    }

    /// Sets the clock. Due times, lease deadlines and history are read from its wall time, so all
    /// processes that share a file must share the clock.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A file can't be opened. It was left unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its directory can't be created or written.
    #[error("{} can't be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Error of the store.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is damaged.
    #[error("{} is damaged: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The damage found.
        detail: String,
    },
    /// The file is not a database.
    #[error("{} is not a SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is another application's database.
    #[error("{} is a database, but not a job store (application id {application_id:#x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Application id in the file; 0 if it has none.
        application_id: i64,
    },
    /// The file was written by a newer release.
    #[error("{} has schema version {found}, this release knows up to {supported}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Version of this release.
        supported: i64,
    },
    /// Another process held the file for longer than the busy time-out.
    #[error("{} is held by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{} can't be opened: {source}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Longest wait of SQLite for the lock, before the writer tries again.
const TURN: Duration = Duration::from_millis(10);

/// An open file: the parts of a broker.
pub(super) struct Opened {
    pub(super) clock: Clock,
    pub(super) readers: SqlitePool,
    pub(super) writer: Writer,
    pub(super) changes: watch::Receiver<()>,
    pub(super) file: OpenFile,
}

pub(super) async fn open(path: &Path, options: SqliteOptions) -> Result<Opened, OpenError> {
    let fault = |error: sqlx::Error| classify(path, error);
    make_private(path);
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(options.busy_timeout)
        .synchronous(match options.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        })
        .thread_name(|number| format!("{}{number}", SqliteOptions::THREADS));
    let connect = if options.reports { connect } else { connect.disable_statement_logging() };

    let mut conn = connect.connect().await.map_err(fault)?;
    // One snapshot, since another process may be creating the tables.
    let mut snapshot = conn.begin().await.map_err(fault)?;
    identify(&mut snapshot, path).await?;
    snapshot.rollback().await.map_err(fault)?;
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size <= options.check_up_to {
        check(&mut conn, path).await?;
    }
    prepare(&mut conn, path, options.busy_timeout).await?;
    let turn = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {}", options.busy_timeout.min(TURN).as_millis()));
    sqlx::raw_sql(turn).execute(&mut conn).await.map_err(fault)?;

    let listener = connect.connect().await.map_err(fault)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers)
        .test_before_acquire(false)
        .connect_with(connect.read_only(true).create_if_missing(false))
        .await
        .map_err(fault)?;
    let other = |source: std::io::Error| OpenError::Other { path: path.to_owned(), source: source.into() };
    let file = OpenFile::at(path).map_err(other)?;
    let (writer, changes) =
        Writer::start(conn, listener, file.clone(), options.clock.clone(), options.busy_timeout).map_err(other)?;
    Ok(Opened { clock: options.clock, readers, writer, changes, file })
}

/// Creates an empty file that only the account can read, if there is none: it will contain
/// payloads. SQLite would create it with the permissions of the umask. SQLite creates the files
/// next to it with the permissions of this one. If this fails, SQLite fails too and returns the
/// reason.
fn make_private(path: &Path) {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Checks the application of the file before anything is written to it. Returns the version of its
/// tables; 0 for an empty file.
async fn identify(conn: &mut SqliteConnection, path: &Path) -> Result<i64, OpenError> {
    let fault = |error| classify(path, error);
    let number = async |conn: &mut SqliteConnection, pragma: &'static str| {
        sqlx::query_scalar::<_, i64>(pragma).fetch_one(conn).await.map_err(fault)
    };
    let application_id = number(conn, "PRAGMA application_id").await?;
    let found = number(conn, "PRAGMA user_version").await?;
    let tables = number(conn, "SELECT count(*) FROM sqlite_schema").await?;
    if application_id == 0 && found == 0 && tables == 0 {
        return Ok(0);
    }
    let path = path.to_owned();
    if application_id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path, application_id });
    }
    if found > schema::VERSION {
        return Err(OpenError::NewerSchema { path, found, supported: schema::VERSION });
    }
    Ok(found)
}

async fn check(conn: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let detail: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(conn).await.map_err(|error| classify(path, error))?;
    if detail == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt { path: path.to_owned(), detail })
}

/// Checks that the file can be written, and creates the tables if there are none.
async fn prepare(conn: &mut SqliteConnection, path: &Path, busy_timeout: Duration) -> Result<(), OpenError> {
    let fault = |error| classify(path, error);
    // Two processes that switch a new file at once don't wait for each other.
    let pause = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode = WAL").fetch_one(&mut *conn);
        match mode.await {
            Ok(_) => break,
            Err(error) if primary_code(&error) == Some(BUSY) && waited < busy_timeout => {
                tokio::time::sleep(pause).await;
                waited += pause;
            }
            Err(error) => return Err(fault(error)),
        }
    }
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    // Another process may have created the tables since the last check.
    let found = identify(&mut transaction, path).await?;
    let steps = [schema::CREATE, schema::TO_VERSION_2].into_iter().skip(usize::try_from(found).unwrap_or(usize::MAX));
    for step in steps {
        sqlx::raw_sql(step).execute(&mut *transaction).await.map_err(fault)?;
    }
    if found < schema::VERSION {
        let marks =
            format!("PRAGMA application_id = {}; PRAGMA user_version = {};", schema::APPLICATION_ID, schema::VERSION);
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}

fn classify(path: &Path, error: sqlx::Error) -> OpenError {
    let code = primary_code(&error);
    let (path, source) = (path.to_owned(), Box::new(error));
    match code {
        Some(PERMISSION | READ_ONLY | CANNOT_OPEN | FULL) => OpenError::Unwritable { path, source },
        Some(CORRUPT) => OpenError::Corrupt { path, detail: source.to_string() },
        Some(NOT_A_DATABASE) => OpenError::NotADatabase { path },
        Some(BUSY | LOCKED) => OpenError::Busy { path },
        _ => OpenError::Other { path, source },
    }
}
