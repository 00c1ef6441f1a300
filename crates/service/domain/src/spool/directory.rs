//! Uploads in a directory.
//!
//! A file is written beside its final name, synced, and then linked to that name. So a name always
//! means a complete upload, and no upload replaces another. The name is the id of the job.

use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tidegate_base::private;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

/// Extension of an incomplete upload.
const PART: &str = "part";

/// The directory of uploads.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

/// An upload that is being written. If it is dropped before it is [finished](Self::finish), no file
/// is left.
pub(super) struct NewUpload {
    file: File,
    guard: Unfinished,
    whole: PathBuf,
    directory: PathBuf,
}

impl Directory {
    /// Opens the directory below the data directory, and creates it if necessary.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join("spool");
        private::directory(&directory)?;
        Ok(Self(directory))
    }

    /// Returns the path of the upload with that id.
    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    /// Begins an upload. Two uploads with one id, such as a repeated request, do not share a file.
    pub(super) async fn create(&self, id: &str) -> io::Result<NewUpload> {
        let part = self.0.join(format!("{id}.{}.{PART}", Uuid::new_v4().simple()));
        let guard = Unfinished(part.clone());
        // Work on another thread continues if this future is dropped, so the guard moves with it.
        let (guard, file) = blocking(move || Ok((guard, create(&part)?))).await?;
        Ok(NewUpload { file: File::from_std(file), guard, whole: self.path(id), directory: self.0.clone() })
    }

    /// Opens an upload.
    pub(super) async fn read(&self, id: &str) -> io::Result<BufReader<std::fs::File>> {
        let path = self.path(id);
        blocking(move || Ok(BufReader::new(std::fs::File::open(path)?))).await
    }

    /// Removes an upload. A missing one is not an error.
    pub(super) async fn remove(&self, id: &str) -> io::Result<()> {
        there(fs::remove_file(self.path(id)).await)?;
        Ok(())
    }

    /// Returns ids of the uploads that were written more than `age` before `now`. Removes
    /// incomplete ones of that age.
    pub(super) async fn older_than(&self, age: Duration, now: SystemTime) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut entries = fs::read_dir(&self.0).await?;
        while let Some(entry) = entries.next_entry().await? {
            // An entry that is gone by now was imported, or another process has swept it.
            let Some(metadata) = there(entry.metadata().await)? else { continue };
            let written = metadata.modified()?;
            if now.duration_since(written).unwrap_or_default() < age {
                continue;
            }
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == PART) {
                there(fs::remove_file(&path).await)?;
            } else if let Ok(id) = entry.file_name().into_string() {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

impl NewUpload {
    pub(super) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece).await
    }

    /// Syncs the upload and gives it its final name. `false` if that name has other content.
    pub(super) async fn finish(mut self) -> io::Result<bool> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let Self { guard, whole, directory, .. } = self;
        blocking(move || guard.publish(&whole, &directory)).await
    }
}

/// Creates a file that only the account of the process can read: it contains a tenant's data.
///
/// The directory is created again if it was deleted. Its parent is not.
fn create(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    match (options.open(path), path.parent()) {
        (Err(error), Some(directory)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().mode(private::DIRECTORY).create(directory)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}

/// Returns `None` for a missing file.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs file operations outside the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes its file if the upload is dropped before its end, for example because the client
/// disconnects.
struct Unfinished(PathBuf);

impl Unfinished {
    /// Gives the upload its final name durably: the name itself must survive a power failure before
    /// the upload is acknowledged. `false` if the name has other content.
    ///
    /// In both cases only the temporary name is removed.
    fn publish(self, whole: &Path, directory: &Path) -> io::Result<bool> {
        while let Err(error) = std::fs::hard_link(&self.0, whole) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            match there(have_same_content(&self.0, whole))? {
                Some(true) => break,
                Some(false) => return Ok(false),
                // Its job or the sweep has removed it meanwhile.
                None => {}
            }
        }
        drop(self);
        std::fs::File::open(directory)?.sync_all()?;
        Ok(true)
    }
}

/// Whether two files have the same bytes.
fn have_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (std::fs::File::open(one)?, std::fs::File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.len() == right.len());
        }
        if left.get(..length) != right.get(..length) {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A single unlink. A file that cannot be removed now is swept later.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::open(scratch.path()).unwrap();
        (scratch, directory)
    }

    fn names(directory: &Directory) -> usize {
        std::fs::read_dir(&directory.0).unwrap().count()
    }

    async fn upload(directory: &Directory, id: &str, content: &str) -> io::Result<bool> {
        let mut upload = directory.create(id).await?;
        upload.write(content.as_bytes()).await?;
        upload.finish().await
    }

    #[tokio::test]
    async fn a_spool_that_was_deleted_is_created_again_but_not_the_data_directory() {
        let (scratch, directory) = directory();
        std::fs::remove_dir_all(&directory.0).unwrap();
        assert!(upload(&directory, "one", "abc").await.unwrap());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&directory.0).unwrap().permissions());
        assert_eq!(mode & 0o777, private::DIRECTORY);
        scratch.close().unwrap();
        assert!(upload(&directory, "one", "abc").await.is_err());
        assert!(!directory.0.exists());
    }

    #[tokio::test]
    async fn an_upload_never_replaces_another_one_of_its_id() {
        let (_scratch, directory) = directory();
        assert!(upload(&directory, "one", "abc").await.unwrap());
        assert!(upload(&directory, "one", "abc").await.unwrap(), "the same content is a repetition");
        for other in ["abd", "abcd", ""] {
            assert!(!upload(&directory, "one", other).await.unwrap(), "{other:?}");
        }
        assert_eq!(std::fs::read(directory.path("one")).unwrap(), b"abc");
        assert_eq!(names(&directory), 1);
    }

    /// The name may belong to another request that was acknowledged.
    #[tokio::test]
    async fn an_upload_that_fails_after_it_has_its_name_leaves_the_name_to_the_sweep() {
        let (_scratch, directory) = directory();
        let (part, whole) = (directory.path("late.part"), directory.path("late"));
        std::fs::write(&part, "abc").unwrap();
        std::fs::write(&whole, "abc").unwrap();
        let nowhere = directory.path("nowhere");
        assert!(Unfinished(part).publish(&whole, &nowhere).is_err());
        assert_eq!(std::fs::read(&whole).unwrap(), b"abc");
        assert_eq!(names(&directory), 1);
    }
}
