//! The tables that a restore writes, in one transaction: a new SQLite file next to the old one, or
//! a PostgreSQL schema.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tidegate_base::clock;
use tidegate_settings::{DatabaseSettings, Settings};

use super::error::TargetError;
use super::tables::{Column, TABLES, Table};
use super::{Cells, MANY, OwnedValue, PAGES, cells_of, names, page_values, placeholders, value};
use crate::StoreError;
use crate::open;
use crate::running::{self, ExclusiveUse};
use crate::sql::Sql;
use crate::sql::restored::{CLEAR_TOLD, CLOSE_IMPORTS, CLOSE_RUNS, IDENTIFY, RENEW_PLANS, SKIP_NUMBERS};
use crate::value::{Row, Value};

/// Tables that are being written. Dropping it before [`commit`](Self::commit) changes nothing.
pub struct Target {
    connection: Open,
    /// Keeps all other processes out.
    _alone: ExclusiveUse,
}

enum Open {
    Sqlite { connection: SqliteConnection, path: PathBuf, restoring: PathBuf },
    Postgres(PgConnection),
}

/// Whether existing data may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingData {
    /// Existing data stays: tables that contain data are an error.
    Keep,
    /// The restored data replaces it.
    Replace,
}

impl Target {
    /// Opens the tables of the settings for a restore, exclusively, and begins the transaction.
    ///
    /// # Errors
    ///
    /// Fails if a process uses them, if they contain data that must be kept, or if they can't be
    /// opened. Existing data is then unchanged, but a PostgreSQL schema may have been migrated to
    /// this version.
    pub async fn open(settings: &Settings, present: ExistingData) -> Result<Self, TargetError> {
        match &settings.database {
            Some(server) => Self::in_postgres(server, present).await,
            None => Self::in_file(&settings.database_path(), present).await,
        }
    }

    async fn in_file(path: &Path, present: ExistingData) -> Result<Self, TargetError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let alone = running::alone_in(directory).await?;
        if present == ExistingData::Keep {
            refuse_data(path).await?;
        }
        let restoring = with_ending(path, ".restoring");
        for ending in ["", "-journal", "-wal", "-shm"] {
            remove(&with_ending(&restoring, ending))?;
        }
        let made = open::make_private(&restoring);
        made.map_err(|source| TargetError::File { path: restoring.clone(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&restoring)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let mut connection = options.connect().await.map_err(StoreError::from)?;
        open::make_schema(&mut connection, &restoring).await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(StoreError::from)?;
        Ok(Self { connection: Open::Sqlite { connection, path: path.to_owned(), restoring }, _alone: alone })
    }

    async fn in_postgres(settings: &DatabaseSettings, present: ExistingData) -> Result<Self, TargetError> {
        let alone = running::alone_on(settings).await?;
        open::postgres::prepare_alone(settings).await?;
        let mut connection = settings.url.options().connect().await.map_err(StoreError::from)?;
        sqlx::query("BEGIN").execute(&mut connection).await.map_err(StoreError::from)?;
        let mut target = Self { connection: Open::Postgres(connection), _alone: alone };
        if present == ExistingData::Keep {
            for (place, table) in TABLES.iter().enumerate() {
                if !target.rows_of(place, None).await?.is_empty() {
                    return Err(TargetError::NotEmpty { place: settings.url.to_string(), table: table.name });
                }
            }
        }
        // CASCADE includes the sessions, which no backup contains and which refer to users.
        let all = format!("TRUNCATE {} CASCADE", names(TABLES.iter().map(|table| table.name)));
        target.run(Sql::kept(all), &[]).await?;
        Ok(target)
    }

    /// Writes rows. Their cells correspond to the columns of `statements`.
    ///
    /// # Errors
    ///
    /// Fails if a row does not fit or can't be written.
    pub async fn insert(
        &mut self,
        table: &'static Table,
        statements: &Inserts,
        rows: &[Cells],
    ) -> Result<(), TargetError> {
        let misfit = || TargetError::Misfit { table: table.name };
        for some in rows.chunks(MANY) {
            let one_by_one = if some.len() == MANY { MANY } else { 1 };
            for rows in some.chunks(one_by_one) {
                let mut values = Vec::with_capacity(rows.len() * statements.columns.len());
                for row in rows {
                    if row.len() != statements.columns.len() {
                        return Err(misfit());
                    }
                    for (column, cell) in statements.columns.iter().zip(row) {
                        values.push(value(column.kind, cell).ok_or_else(misfit)?);
                    }
                }
                let values: Vec<_> = values.iter().map(OwnedValue::lend).collect();
                let statement = if rows.len() == MANY { statements.many } else { statements.one };
                self.run(statement, &values).await?;
            }
        }
        Ok(())
    }

    /// Like [`Snapshot::rows_of`](crate::Snapshot::rows_of), for the rows that were written.
    ///
    /// # Errors
    ///
    /// Fails if they can't be read.
    pub async fn rows_of(&mut self, place: usize, after: Option<&Cells>) -> Result<Vec<Cells>, TargetError> {
        let values = page_values(&TABLES[place], after);
        let values: Vec<_> = values.iter().map(OwnedValue::lend).collect();
        let sql = &PAGES[place];
        let rows: Vec<Row> = match &mut self.connection {
            Open::Sqlite { connection, .. } => {
                let rows = sql.with(&values).fetch_all(connection).await.map_err(StoreError::from)?;
                rows.into_iter().map(Row::from).collect()
            }
            Open::Postgres(connection) => {
                let rows = sql.with_on_postgres(&values).fetch_all(connection).await.map_err(StoreError::from)?;
                rows.into_iter().map(Row::from).collect()
            }
        };
        Ok(rows.iter().map(|row| cells_of(&TABLES[place], row)).collect::<Result<_, _>>()?)
    }

    /// Makes the restored tables a new installation. It gets a new id, so no cache entry of the old
    /// one is ever found. Its plans are newer than any that a limiter may have cached. Running work
    /// is closed, since backups contain no jobs.
    ///
    /// # Errors
    ///
    /// Fails if they can't be written.
    pub async fn renew(&mut self) -> Result<(), TargetError> {
        let now = clock::now();
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.run(&IDENTIFY, &[(&name).into()]).await?;
        self.run(&RENEW_PLANS, &[now.into()]).await?;
        self.run(&CLOSE_IMPORTS, &[now.into()]).await?;
        self.run(&CLOSE_RUNS, &[now.into()]).await?;
        self.run(&SKIP_NUMBERS, &[]).await?;
        self.run(&CLEAR_TOLD, &[]).await
    }

    /// Commits the restore.
    ///
    /// # Errors
    ///
    /// Fails if it can't be committed, or if the file can't be moved into place.
    pub async fn commit(self) -> Result<(), TargetError> {
        let lost = |error: sqlx::Error| TargetError::from(StoreError::from(error));
        match self.connection {
            Open::Sqlite { mut connection, path, restoring } => {
                sqlx::query("COMMIT").execute(&mut connection).await.map_err(lost)?;
                connection.close().await.map_err(lost)?;
                fold_in(&path).await;
                put_in_place(&restoring, &path)
            }
            Open::Postgres(mut connection) => {
                let committed = sqlx::query("COMMIT").execute(&mut connection).await;
                committed.map_err(StoreError::OutcomeUnknown)?;
                connection.close().await.map_err(lost)
            }
        }
    }

    async fn run(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<(), TargetError> {
        let done = match &mut self.connection {
            Open::Sqlite { connection, .. } => sql.with(values).execute(connection).await.map(|_| ()),
            Open::Postgres(connection) => sql.with_on_postgres(values).execute(connection).await.map(|_| ()),
        };
        Ok(done.map_err(StoreError::from)?)
    }
}

/// The statements that write those columns of a table that a backup contains.
pub struct Inserts {
    columns: Vec<&'static Column>,
    one: &'static Sql,
    many: &'static Sql,
}

impl Inserts {
    /// `None` if the table lacks one of these columns.
    pub fn of(table: &'static Table, columns: &[String]) -> Option<Self> {
        let find = |name: &String| table.columns.iter().find(|column| column.name == *name);
        let columns: Vec<_> = columns.iter().map(find).collect::<Option<_>>()?;
        let insert = |rows: usize| {
            let values = (0..rows).map(|row| format!("({})", placeholders(row * columns.len() + 1, columns.len())));
            let values = values.collect::<Vec<_>>().join(", ");
            let columns = names(columns.iter().map(|column| column.name));
            Sql::kept(format!("INSERT INTO {} ({columns}) VALUES {values}", table.name))
        };
        let (one, many) = (insert(1), insert(MANY));
        Some(Self { columns, one, many })
    }
}

/// Fails if the file has rows. A file that can't be read is not considered empty.
async fn refuse_data(path: &Path) -> Result<(), TargetError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    open::inspect(path).await?;
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(StoreError::from)?;
    for (place, table) in TABLES.iter().enumerate() {
        let is_there = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1").bind(table.name);
        if is_there.fetch_optional(&mut connection).await.map_err(StoreError::from)?.is_none() {
            // An older version made the file.
            continue;
        }
        let values = page_values(table, None);
        let values: Vec<_> = values.iter().map(OwnedValue::lend).collect();
        let found = PAGES[place].with(&values).fetch_optional(&mut connection).await;
        // An error means that an older version lacks a column: the table can't be proved empty.
        if !matches!(found, Ok(None)) {
            return Err(TargetError::NotEmpty { place: path.display().to_string(), table: table.name });
        }
    }
    connection.close().await.map_err(|error| StoreError::from(error).into())
}

/// Merges SQLite's additional files into the main file, so that it is complete alone. A file that
/// can't be read stays as it is.
async fn fold_in(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    if let Ok(mut connection) = options.connect().await {
        // Closing the last connection removes the merged files.
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        let _ = connection.close().await;
    }
}

/// Moves the new file into place atomically: before that step the old file is there, afterwards the
/// new one. The old file is kept next to it.
fn put_in_place(restoring: &Path, path: &Path) -> Result<(), TargetError> {
    let replaced = with_ending(path, ".replaced");
    let wal = |path: &Path| with_ending(path, "-wal");
    remove(&replaced)?;
    remove(&wal(&replaced))?;
    // Not every file system supports hard links.
    let keep = std::fs::hard_link(path, &replaced).or_else(|_| std::fs::copy(path, &replaced).map(|_| ()));
    there(keep, path)?;
    // Exists only for a file that could not be read. The new file must not be combined with it.
    moved(&wal(path), &wal(&replaced))?;
    remove(&with_ending(path, "-shm"))?;
    std::fs::rename(restoring, path).map_err(|source| TargetError::File { path: path.to_owned(), source })?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| TargetError::File { path: directory.to_owned(), source })
}

fn moved(from: &Path, to: &Path) -> Result<(), TargetError> {
    there(std::fs::rename(from, to), from)
}

fn remove(path: &Path) -> Result<(), TargetError> {
    there(std::fs::remove_file(path), path)
}

/// Ignores an error if the file does not exist.
fn there(done: std::io::Result<()>, path: &Path) -> Result<(), TargetError> {
    match done {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(TargetError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_is_in_its_place_until_the_new_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let (path, restoring) = (directory.path().join("tidegate.db"), directory.path().join("tidegate.db.restoring"));
        let replaced = directory.path().join("tidegate.db.replaced");
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        std::fs::write(&path, "old").unwrap();
        // The last step fails: there is no file to move.
        put_in_place(&restoring, &path).unwrap_err();
        assert_eq!(text(&path), "old");
        std::fs::write(&restoring, "new").unwrap();
        put_in_place(&restoring, &path).unwrap();
        assert_eq!((text(&path), text(&replaced)), ("new".to_owned(), "old".to_owned()));
        std::fs::write(&restoring, "newer").unwrap();
        put_in_place(&restoring, &path).unwrap();
        assert_eq!((text(&path), text(&replaced)), ("newer".to_owned(), "new".to_owned()));
    }
}
