//! Restores a backup into either database.
//!
//! The backup is read to its end and checked before any table is changed. Then it is written in one
//! transaction, read back from the tables, and compared with its own digests. The transaction is
//! committed only if they match.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use tidegate_settings::Settings;
use tidegate_store::{ExistingData, Inserts, PAGE, Store, TABLES, Table, Target, TargetError};
use tokio::io::AsyncWriteExt;

use super::format::{Digests, FormatError, Manifest, Part, Reader, RowDigest, TableDigest, line_of, verify};
use crate::files::{FileAt, FileId, FileKind, Files, FilesError, Owner};

/// Which backup to restore, and whether it may replace existing rows.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path of a backup, or the id of one in the configured store of files.
    pub backup: String,
    /// Whether tables with rows are replaced.
    pub replace: bool,
}

/// A table that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTable {
    /// Name of the table.
    pub table: String,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of the rows, equal in the backup and in the restored table.
    pub sha256: String,
}

/// Why a backup was not restored. The database is unchanged unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no such file, and the name is not the id of a backup.
    #[error("there is no file {0}, and this is not the id of a backup")]
    Unknown(String),
    /// The backup cannot be downloaded.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The backup is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A newer version made the backup.
    #[error(
        "the backup is of a newer version of Tidegate (schema {found}, this one knows {known}); restore it with that version"
    )]
    Newer {
        /// Schema version of the backup.
        found: i64,
        /// Newest schema version that this program supports.
        known: i64,
    },
    /// The backup has a table or column that this version does not know.
    #[error("the backup has a table `{0}` that this version does not support")]
    Foreign(String),
    /// The tables cannot be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The data that was read back differs from the backup. The transaction was rolled back.
    #[error("table {0} differs from the backup after the restore; nothing was changed")]
    Differs(String),
}

/// Restores a backup into the configured database. No other process may use it meanwhile.
///
/// # Errors
///
/// If the backup is incomplete, from another program or from a newer version, if another process
/// uses the database, or if it has rows and `replace` is not set.
pub async fn restore(settings: &Settings, request: &Request) -> Result<Vec<RestoredTable>, RestoreError> {
    let present = if request.replace { ExistingData::Replace } else { ExistingData::Keep };
    let found = find(settings, &request.backup).await?;
    let path = found.path();
    let (manifest, digests) = verify(open(path)?)?;
    let known = Store::schema();
    if manifest.schema > known {
        return Err(RestoreError::Newer { found: manifest.schema, known });
    }
    let tables = tables_of(&manifest)?;
    let mut target = Target::open(settings, present).await?;
    write(&mut target, &tables, open(path)?).await?;
    compare(&mut target, &manifest, &digests).await?;
    target.renew().await?;
    target.commit().await?;
    let told = |TableDigest { table, rows, sha256 }| RestoredTable { table, rows, sha256 };
    Ok(digests.into_iter().map(told).collect())
}

fn tables_of(manifest: &Manifest) -> Result<Vec<(&'static Table, Inserts)>, RestoreError> {
    let known = |head: &super::format::TableHead| {
        let table = Table::named(&head.name)?;
        Some((table, Inserts::of(table, &head.columns)?))
    };
    let mut tables: Vec<(&'static Table, Inserts)> = Vec::new();
    for head in &manifest.tables {
        let table = known(head).filter(|(table, _)| tables.iter().all(|(before, _)| before.name != table.name));
        tables.push(table.ok_or_else(|| RestoreError::Foreign(head.name.chars().take(64).collect()))?);
    }
    Ok(tables)
}

async fn write(target: &mut Target, tables: &[(&'static Table, Inserts)], file: impl Read) -> Result<(), RestoreError> {
    let mut reader = Reader::open(file)?;
    for (table, inserts) in tables {
        while let Part::Rows(rows) = reader.part(PAGE)? {
            target.insert(table, inserts, &rows).await?;
        }
    }
    // The file may have changed since it was verified.
    Ok(reader.end()?)
}

/// Reads the rows back before the commit. Columns that the backup lacks are not compared.
async fn compare(target: &mut Target, manifest: &Manifest, digests: &Digests) -> Result<(), RestoreError> {
    for (head, said) in manifest.tables.iter().zip(digests) {
        let differs = || RestoreError::Differs(head.name.clone());
        let place = TABLES.iter().position(|table| table.name == head.name).ok_or_else(differs)?;
        let column = |name: &String| TABLES[place].columns.iter().position(|column| column.name == name);
        let columns: Vec<_> = head.columns.iter().map(column).collect::<Option<_>>().ok_or_else(differs)?;
        let (mut counted, mut after) = (RowDigest::default(), None);
        loop {
            let rows = target.rows_of(place, after.as_ref()).await?;
            for row in &rows {
                counted.add(&line_of(&columns.iter().map(|column| row[*column].clone()).collect()));
            }
            if rows.len() < PAGE {
                break;
            }
            after = rows.into_iter().next_back();
        }
        if counted.end(&head.name) != *said {
            return Err(differs());
        }
    }
    Ok(())
}

/// Prefix of a downloaded backup in the data directory, before its id.
const FETCHED: &str = ".restore-";

/// A backup in a file.
enum Found {
    At(PathBuf),
    /// Downloaded, and removed afterwards.
    Fetched(PathBuf),
}

impl Found {
    fn path(&self) -> &Path {
        match self {
            Self::At(path) | Self::Fetched(path) => path,
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        if let Self::Fetched(path) = self {
            // Safe in every case: the backup itself is elsewhere.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn find(settings: &Settings, backup: &str) -> Result<Found, RestoreError> {
    let path = PathBuf::from(backup);
    if path.is_file() {
        return Ok(Found::At(path));
    }
    let id: FileId = backup.parse().map_err(|_| RestoreError::Unknown(backup.to_owned()))?;
    let files = Files::open(&settings.files.place, &settings.data_dir)?;
    let at = FileAt { kind: FileKind::Backup, owner: Owner::Operations, id };
    let (_, mut pieces) = files.read(&at).await?;
    let path = settings.data_dir.join(format!("{FETCHED}{id}"));
    let failed = |source| RestoreError::Read { path: path.clone(), source };
    std::fs::create_dir_all(&settings.data_dir).map_err(failed)?;
    remove_fetched(&settings.data_dir).map_err(failed)?;
    let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
    let found = Found::Fetched(path.clone());
    let mut file = tokio::fs::File::from_std(made);
    while let Some(piece) = pieces.try_next().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(found)
}

/// Removes downloads of restores that were killed. They contain all tables, unencrypted.
fn remove_fetched(data_dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(data_dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(FETCHED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, RestoreError> {
    File::open(path).map_err(|source| RestoreError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
