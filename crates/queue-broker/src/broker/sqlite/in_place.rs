//! Checks whether the open database is still the file at its path.
//!
//! A file that is deleted while it is open still accepts writes, and all of them are lost when the
//! process ends. The same holds for the write-ahead log next to the database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Suffixes of the files that SQLite keeps next to an open database: the write-ahead log and its
/// index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// An open SQLite database with its write-ahead log. Each file is identified by device and inode,
/// which no other file can have while it is open.
///
/// [`SqliteBroker`](super::SqliteBroker) checks its file with it. A program can also use it for
/// other databases.
#[derive(Debug, Clone)]
pub struct OpenFile {
    files: Arc<[Opened]>,
    /// Whether the last check could not read one of the files. Clones share it, so that each outage
    /// is logged once.
    is_unseen: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    identity: (u64, u64),
}

impl Opened {
    fn at(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&fs::metadata(&path)?);
        Ok(Self { path, identity })
    }

    /// Compares the result of a check. Returns the error if the file could not be checked.
    fn judge(&self, found: io::Result<(u64, u64)>) -> io::Result<Option<io::Error>> {
        match found {
            Ok(identity) if identity == self.identity => Ok(None),
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Some(error))
            }
            Ok(_) | Err(_) => {
                let path = self.path.display();
                Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{path} was deleted, moved or replaced while it was open; restart the process"),
                ))
            }
        }
    }
}

impl OpenFile {
    /// The database at that path. A connection to it must have been opened, and must stay open.
    ///
    /// # Errors
    /// The path leads to no file, or the file can't be read.
    pub fn at(path: &Path) -> io::Result<Self> {
        // The working directory may change.
        let path = std::path::absolute(path)?;
        let beside = BESIDE.map(|suffix| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            Opened::at(PathBuf::from(name))
        });
        let mut files = vec![Opened::at(path)?];
        // Without a write-ahead log, these files don't exist.
        files.extend(beside.into_iter().flatten());
        Ok(Self { files: files.into(), is_unseen: Arc::default() })
    }

    /// Returns an error if one of the paths leads to no file, or to another one.
    ///
    /// Any other error, such as a disk error or missing permissions, does not show that the file is
    /// gone. It is logged once until the file can be read again, and the file stays in use.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], with the path and how to fix it.
    pub fn ensure_in_place(&self) -> io::Result<()> {
        let mut unseen = None;
        for file in &*self.files {
            let found = fs::metadata(&file.path).map(|found| identity(&found));
            unseen = file.judge(found)?.map(|error| (&file.path, error)).or(unseen);
        }
        let was_unseen = self.is_unseen.swap(unseen.is_some(), Ordering::Relaxed);
        match unseen {
            Some((path, error)) if !was_unseen => {
                tracing::warn!(%error, "can't see whether {} is still there; it stays in use", path.display());
            }
            None if was_unseen => {
                if let Some(file) = self.files.first() {
                    tracing::info!("{} can be seen again", file.path.display());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

/// Other systems don't allow deleting an open file.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_deleted_or_replaced_is_noticed_and_one_that_grows_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let _open = fs::File::open(&path).unwrap();
        let file = OpenFile::at(&path).unwrap();
        fs::write(&path, "one and more").unwrap();
        assert!(file.ensure_in_place().is_ok());
        fs::remove_file(&path).unwrap();
        assert!(file.ensure_in_place().unwrap_err().to_string().contains("restart"));
        fs::write(&path, "another").unwrap();
        assert!(file.ensure_in_place().is_err(), "it is another file");
    }

    #[test]
    fn an_error_of_the_disk_or_of_the_rights_does_not_count_as_a_deleted_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let file = Opened::at(path).unwrap();
        for gone in [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory] {
            let error = file.judge(Err(gone.into())).unwrap_err();
            assert!(error.to_string().contains("was deleted"), "{error}");
        }
        #[cfg(unix)]
        let disk = io::Error::from_raw_os_error(5);
        #[cfg(not(unix))]
        let disk = io::Error::other("the disk failed");
        for unseen in [io::ErrorKind::PermissionDenied.into(), disk] {
            assert!(file.judge(Err(unseen)).unwrap().is_some());
        }
        let (device, inode) = file.identity;
        assert!(file.judge(Ok((device, inode))).unwrap().is_none(), "it is seen again");
        assert!(file.judge(Ok((device + 1, inode))).is_err(), "it is on another device");
        assert!(file.judge(Ok((device, inode + 1))).is_err(), "it has another inode");
    }

    #[tokio::test]
    async fn a_write_ahead_log_that_is_deleted_is_noticed() {
        use crate::broker::Broker;
        use crate::broker::sqlite::{SqliteBroker, SqliteOptions};

        for suffix in BESIDE {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("queue.db");
            let broker = SqliteBroker::open(&path, SqliteOptions::default()).await.unwrap();
            broker.pause("q").await.unwrap();
            let beside = directory.path().join(format!("queue.db{suffix}"));
            fs::remove_file(&beside).unwrap();
            let error = broker.ensure_in_place().unwrap_err().to_string();
            assert!(error.contains(&*beside.display().to_string()), "{error}");
            assert!(broker.resume("q").await.is_err(), "it would vanish with the process");
        }
    }

    /// A symbolic link to itself replaces the directory. No account can follow a path through it,
    /// whatever its permissions.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_broker_whose_file_cannot_be_checked_continues() {
        use crate::broker::Broker;
        use crate::broker::sqlite::{SqliteBroker, SqliteOptions};

        let directory = tempfile::tempdir().unwrap();
        let (data, moved) = (directory.path().join("data"), directory.path().join("moved"));
        fs::create_dir(&data).unwrap();
        let broker = SqliteBroker::open(data.join("queue.db"), SqliteOptions::default()).await.unwrap();
        fs::rename(&data, &moved).unwrap();
        assert!(broker.pause("q").await.is_err(), "no file is there");
        std::os::unix::fs::symlink(&data, &data).unwrap();
        broker.pause("q").await.unwrap();
        broker.ensure_in_place().unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_commit_to_a_file_that_was_deleted_meanwhile_is_not_acknowledged() {
        use async_trait::async_trait;

        use crate::broker::sqlite::writer::{Operation, Step};
        use crate::broker::sqlite::{SqliteBroker, SqliteOptions};

        struct Delete(PathBuf);

        #[async_trait]
        impl Operation for Delete {
            type Answer = ();
            const NAME: &'static str = "delete";

            async fn apply(&self, _: &mut Step<'_>) -> Result<(), sqlx::Error> {
                Ok(fs::remove_file(&self.0)?)
            }
        }

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let broker = SqliteBroker::open(&path, SqliteOptions::default()).await.unwrap();
        let error = broker.writer.run(Delete(path)).await.unwrap_err();
        assert!(error.may_have_run(), "{error:?}");
    }
}
