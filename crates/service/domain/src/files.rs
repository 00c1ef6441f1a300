//! Files in the data directory or in an S3 bucket: exports, reports and backups that a job has
//! made, and uploads for a job to read.
//!
//! Every key is made here from a kind, an owner and a UUID, and from nothing that a client sent. A
//! file is visible as a whole or not at all: it is written in parts, which become a file when the
//! last part has arrived. A writer that gives up leaves no file.

mod error;
mod login;
mod read;
mod s3;
#[cfg(any(test, feature = "test-support"))]
mod stand_in;
mod sweep;
mod write;

use std::fmt;
use std::path::{Path as Directory, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tidegate_base::private;
use tidegate_queue::JobId;
use tidegate_settings::FilesPlace;

pub use error::FilesError;
pub use read::FileReader;
pub use sweep::FilesSweep;
pub use tidegate_model::file::{FileAt, FileId, FileIdError, FileKind, Owner, Written};
pub use write::NewFile;

/// A stored file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its location.
    pub at: FileAt,
    /// Its size in bytes.
    pub bytes: u64,
    /// When its last part was written.
    pub written: SystemTime,
}

/// The content of a file, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, FilesError>>;

/// The store of files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The directory, if files are in one.
    directory: Option<PathBuf>,
}

impl Files {
    /// Opens the location from the settings. In the data directory it creates `files`.
    ///
    /// It does not check that a bucket exists: services start in any order.
    ///
    /// # Errors
    ///
    /// If the directory cannot be created, the AWS variables contradict each other, or a file that
    /// they name cannot be read.
    pub fn open(place: &FilesPlace, data_dir: &Directory) -> Result<Self, FilesError> {
        match place {
            FilesPlace::Directory => Self::in_directory(&data_dir.join("files")),
            FilesPlace::Bucket { bucket, prefix } => {
                let builder = login::log_in(AmazonS3Builder::from_env(), variable)?;
                Self::in_bucket(builder, bucket, prefix)
            }
        }
    }

    /// Checks the keys of a bucket, without a request.
    ///
    /// # Errors
    ///
    /// If a key cannot be read.
    pub fn check_login(place: &FilesPlace) -> Result<(), FilesError> {
        match place {
            FilesPlace::Directory => Ok(()),
            FilesPlace::Bucket { .. } => login::check(variable),
        }
    }

    fn in_directory(directory: &Directory) -> Result<Self, FilesError> {
        private::directory(directory).map_err(|error| FilesError::of_io("open", &error))?;
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|error| FilesError::of("open", &error))?;
        Ok(Self {
            // Acknowledged data must survive a power failure.
            store: Arc::new(store.with_fsync(true)),
            prefix: Path::default(),
            directory: Some(directory.to_owned()),
        })
    }

    fn in_bucket(builder: AmazonS3Builder, bucket: &str, prefix: &Path) -> Result<Self, FilesError> {
        let store = s3::with_client(builder).with_bucket_name(bucket).build();
        let store = store.map_err(|error| FilesError::Unusable { reason: error::words_of(&error) })?;
        Ok(Self { store: Arc::new(store), prefix: prefix.clone(), directory: None })
    }

    /// Begins a file. If it is dropped before it is [finished](NewFile::finish), the file does not
    /// exist.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub async fn create(&self, at: FileAt) -> Result<NewFile, FilesError> {
        let (store, key) = (Arc::clone(&self.store), key_of(&at, &self.prefix));
        // This task continues if the caller's future is dropped, and aborts the upload it has
        // begun.
        let begun = tokio::spawn(async move { Ok(NewFile::new(at, store.put_multipart(&key).await?)) });
        let begun = begun.await.unwrap_or_else(|error| Err(error.into()));
        begun.map_err(|error: object_store::Error| FilesError::of("begin", &error))
    }

    /// Returns the size of a file and its content.
    ///
    /// # Errors
    ///
    /// If the file does not exist or cannot be read. A later failure ends the stream with an error.
    pub async fn read(&self, at: &FileAt) -> Result<(u64, Pieces), FilesError> {
        let got = self.store.get(&key_of(at, &self.prefix)).await.map_err(|error| FilesError::of("read", &error))?;
        let size = got.meta.size;
        Ok((size, got.into_stream().map_err(|error| FilesError::of("read", &error)).boxed()))
    }

    /// Opens a file for reading from any byte.
    ///
    /// # Errors
    ///
    /// If the file does not exist or cannot be read.
    pub async fn open_reader(&self, at: &FileAt) -> Result<FileReader, FilesError> {
        FileReader::open(Arc::clone(&self.store), key_of(at, &self.prefix)).await
    }

    /// Whether files are in a bucket, which processes on other machines also see.
    pub fn is_in_bucket(&self) -> bool {
        self.directory.is_none()
    }

    /// Removes a file. A missing file is not an error.
    ///
    /// # Errors
    ///
    /// If the file exists and cannot be removed.
    pub async fn remove(&self, at: &FileAt) -> Result<(), FilesError> {
        match self.store.delete(&key_of(at, &self.prefix)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(FilesError::of("remove", &error)),
        }
    }

    /// Lists all files of a kind, in no order. Other objects are ignored.
    pub fn list(&self, kind: FileKind) -> BoxStream<'static, Result<Stored, FilesError>> {
        let prefix = self.prefix.clone();
        let ours = move |object: ObjectMeta| {
            let at = at_key(&prefix, &object.location)?;
            Some(Stored { at, bytes: object.size, written: object.last_modified.into() })
        };
        let found = self.store.list(Some(&self.prefix.clone().join(kind.name())));
        let found = found.map_err(|error| FilesError::of("list", &error));
        found.try_filter_map(move |object| std::future::ready(Ok(ours(object)))).boxed()
    }
}

/// Returns `<kind>/<owner>/<id>`, or `<kind>/<id>` for files of the operators.
fn key_of(at: &FileAt, prefix: &Path) -> Path {
    let below = prefix.clone().join(at.kind.name());
    let below = match &at.owner {
        Owner::Operations => below,
        Owner::Tenant(tenant) => below.join(tenant.as_str()),
        Owner::Job(job) => below.join(job.as_str()),
    };
    below.join(at.id.to_string())
}

/// Returns the file at that key. `None` if the key is not one of this service.
fn at_key(prefix: &Path, key: &Path) -> Option<FileAt> {
    let parts: Vec<_> = key.prefix_match(prefix)?.collect();
    let (kind, owner, id) = match &parts[..] {
        [kind, id] => (kind, None, id),
        [kind, owner, id] => (kind, Some(owner.as_ref()), id),
        _ => return None,
    };
    let kind = FileKind::named(kind.as_ref())?;
    let owner = match owner {
        None => Owner::Operations,
        Some(job) if kind == FileKind::Upload => Owner::Job(JobId::new(job).ok()?),
        Some(tenant) => Owner::Tenant(tenant.parse().ok()?),
    };
    Some(FileAt { kind, owner, id: id.as_ref().parse().ok()? })
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Leaves out the store, which contains the credentials.
        f.debug_struct("Files").field("prefix", &self.prefix.as_ref()).finish_non_exhaustive()
    }
}

/// Returns an environment variable. An empty one counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
pub(crate) mod tests;
