//! Uploaded files on their way to the job that reads them: in the bucket of [`Files`] if there is
//! one, otherwise in the data directory.
//!
//! In the directory an upload's name is the id of its job. In a bucket each upload is a file of its
//! own, which its job names. So no upload replaces another, and any worker can read it.

mod directory;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tidegate_base::TooSlow;
use tidegate_queue::JobId;

use self::directory::{Directory, NewUpload};
use crate::files::{FileAt, FileId, FileKind, FileReader, Files, FilesError, NewFile, Owner};
use crate::import::{HeaderCheck, HeaderError};

/// The store of uploads.
#[derive(Debug, Clone)]
pub struct Spool {
    /// Holds the uploads of jobs that name no file.
    directory: Directory,
    /// Receives new uploads. `None` if there is no bucket.
    bucket: Option<Files>,
}

/// Names an upload: by the job that reads it and, in a bucket, by a file that no other upload has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    job: JobId,
    file: Option<FileId>,
}

/// A complete upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its file, if it is in a bucket.
    pub file: Option<UploadedFile>,
}

/// A file in a bucket that is an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFile {
    /// Its id.
    pub id: FileId,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// Reads an upload, on a thread that may block.
#[derive(Debug)]
pub enum UploadReader {
    /// From the directory.
    Directory(BufReader<File>),
    /// From the bucket.
    Bucket(FileReader),
}

/// Why an upload was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The upload is larger than allowed.
    #[error("the upload is larger than {limit} bytes")]
    TooLarge {
        /// Maximum size in bytes.
        limit: u64,
    },
    /// No data arrived for too long.
    #[error("no data arrived for {} seconds", waited.as_secs())]
    Stalled {
        /// How long no data arrived.
        waited: Duration,
    },
    /// The upload took too long in total, though it never stalled.
    #[error("the upload was not complete within {}", humantime::format_duration(*limit))]
    TooSlow {
        /// Maximum duration.
        limit: Duration,
    },
    /// The upload never stalled, but it was slower than the minimum rate.
    #[error(transparent)]
    Dribbles(TooSlow),
    /// The upload begins with a wrong header. The rest was not read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The client aborted the upload.
    #[error("the upload was aborted: {reason}")]
    BrokeOff {
        /// The error of the connection.
        reason: String,
    },
    /// An upload with the same id and other content is already stored.
    #[error("an upload with this id and other content exists")]
    Taken,
    /// The disk refused the data.
    #[error("the upload can't be stored: {0}")]
    Io(#[from] io::Error),
    /// The bucket refused the data or did not respond.
    #[error("the upload can't be stored: {0}")]
    Files(#[from] FilesError),
}

/// Limits of an upload.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// Maximum size in bytes.
    pub bytes: u64,
    /// Maximum wait for the next piece.
    pub stall: Duration,
    /// Maximum duration in total. A client that sends a byte now and then would never stall.
    pub total: Duration,
}

impl Upload {
    /// Returns the upload that a job reads. `file` is the one in the job's payload.
    pub fn of(job: JobId, file: Option<&UploadedFile>) -> Self {
        Self { job, file: file.map(|file| file.id) }
    }

    /// Returns the id of the job that reads it.
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// Whether a request with the same id has the same upload, as in the directory.
    pub fn is_shared(&self) -> bool {
        self.file.is_none()
    }
}

impl Spool {
    /// Opens the spool in the bucket of `files` if there is one, otherwise in the data directory.
    ///
    /// The directory is always opened: jobs that were enqueued before the bucket was configured
    /// read from it.
    ///
    /// # Errors
    ///
    /// If the directory cannot be created.
    pub fn open(files: &Files, data_dir: &Path) -> io::Result<Self> {
        let bucket = files.is_in_bucket().then(|| files.clone());
        Ok(Self { directory: Directory::open(data_dir)?, bucket })
    }

    /// Returns the name of a new upload for that job.
    pub fn name(&self, job: JobId) -> Upload {
        Upload { job, file: self.bucket.as_ref().map(|_| FileId::generate()) }
    }

    /// Writes an upload. `header` checks each piece before it is written, and may refuse it.
    ///
    /// If the write fails or is dropped before it is complete, no file is left. A complete upload
    /// stays: in the directory, another request with the same id may rely on it. There, an upload
    /// with the id and the content of an earlier one is treated as the same upload.
    ///
    /// # Errors
    ///
    /// If the upload is refused, too large or too slow, stalls, is aborted, or cannot be written,
    /// or if another one with the same id exists.
    pub async fn receive<E: Error + 'static>(
        &self,
        upload: &Upload,
        pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
        header: HeaderCheck,
        limits: UploadLimits,
    ) -> Result<Received, SpoolError> {
        let write = async {
            let mut target = self.create(upload).await?;
            let bytes = write(&mut target, pieces, header, limits).await?;
            Ok((target, bytes))
        };
        let (target, bytes) = tokio::time::timeout(limits.total, write)
            .await
            .unwrap_or(Err(SpoolError::TooSlow { limit: limits.total }))?;
        Ok(Received { bytes, file: target.finish().await? })
    }

    async fn create(&self, upload: &Upload) -> Result<Target, SpoolError> {
        match self.in_bucket(upload)? {
            None => Ok(Target::Directory(self.directory.create(upload.job.as_str()).await?)),
            Some((files, at)) => Ok(Target::Bucket(files.create(at).await?)),
        }
    }

    /// Opens an upload for reading.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if the upload is gone, otherwise an error if it cannot
    /// be read. An error of the bucket contains a [`FilesError`], also if it occurs while reading.
    pub async fn read(&self, upload: &Upload) -> io::Result<UploadReader> {
        match self.in_bucket(upload)? {
            None => Ok(UploadReader::Directory(self.directory.read(upload.job.as_str()).await?)),
            Some((files, at)) => Ok(UploadReader::Bucket(files.open_reader(&at).await?)),
        }
    }

    /// Removes an upload. A missing one is not an error.
    ///
    /// # Errors
    ///
    /// If the upload exists and cannot be removed.
    pub async fn remove(&self, upload: &Upload) -> io::Result<()> {
        match self.in_bucket(upload)? {
            None => self.directory.remove(upload.job.as_str()).await,
            Some((files, at)) => Ok(files.remove(&at).await?),
        }
    }

    /// Lists uploads in the directory and the bucket that were begun more than `age` before `now`.
    /// Removes incomplete ones of that age from the directory.
    ///
    /// # Errors
    ///
    /// If the directory or the bucket cannot be read.
    pub async fn older_than(&self, age: Duration, now: SystemTime) -> io::Result<Vec<Upload>> {
        let names = self.directory.older_than(age, now).await?;
        let mut old: Vec<Upload> =
            names.into_iter().filter_map(|name| Some(Upload { job: JobId::new(name).ok()?, file: None })).collect();
        let Some(files) = &self.bucket else { return Ok(old) };
        let mut found = files.list(FileKind::Upload);
        while let Some(file) = found.try_next().await? {
            let is_old = now.duration_since(file.written).unwrap_or_default() >= age;
            if let (true, Owner::Job(job)) = (is_old, file.at.owner) {
                old.push(Upload { job, file: Some(file.at.id) });
            }
        }
        Ok(old)
    }

    /// Returns the bucket and the key of an upload. `None` if it is in the directory.
    fn in_bucket(&self, upload: &Upload) -> io::Result<Option<(&Files, FileAt)>> {
        let Some(id) = upload.file else { return Ok(None) };
        let Some(files) = &self.bucket else {
            let reason =
                "it is in a bucket, and this process has none: set TIDEGATE_FILES_URL as for the API that took it";
            return Err(io::Error::other(reason));
        };
        Ok(Some((files, FileAt::of_upload(upload.job.clone(), id))))
    }

    /// The path of an upload in the directory.
    #[cfg(any(test, feature = "test-support"))]
    pub fn path(&self, id: &str) -> std::path::PathBuf {
        self.directory.path(id)
    }
}

/// An upload that is being written. If it is dropped before it is finished, no file is left.
enum Target {
    Directory(NewUpload),
    Bucket(NewFile),
}

impl Target {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        match self {
            Self::Directory(upload) => Ok(upload.write(piece).await?),
            Self::Bucket(file) => Ok(file.write(piece).await?),
        }
    }

    /// Completes the upload. After that it survives a power failure.
    async fn finish(self) -> Result<Option<UploadedFile>, SpoolError> {
        match self {
            Self::Directory(upload) => {
                if upload.finish().await? {
                    Ok(None)
                } else {
                    Err(SpoolError::Taken)
                }
            }
            Self::Bucket(file) => {
                let id = file.at().id;
                Ok(Some(UploadedFile { id, sha256: file.finish().await?.sha256 }))
            }
        }
    }
}

async fn write<E: Error + 'static>(
    target: &mut Target,
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    mut header: HeaderCheck,
    limits: UploadLimits,
) -> Result<u64, SpoolError> {
    let mut size = 0;
    loop {
        let next = tokio::time::timeout(limits.stall, pieces.next())
            .await
            .map_err(|_| SpoolError::Stalled { waited: limits.stall })?;
        let Some(piece) = next else { break };
        let piece = piece.map_err(|error| match TooSlow::cause_of(&error) {
            Some(too_slow) => SpoolError::Dribbles(too_slow),
            None => SpoolError::BrokeOff { reason: error.to_string() },
        })?;
        size += piece.len() as u64;
        if size > limits.bytes {
            return Err(SpoolError::TooLarge { limit: limits.bytes });
        }
        header.see(&piece)?;
        target.write(&piece).await?;
    }
    header.end()?;
    Ok(size)
}

impl Read for UploadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Directory(file) => file.read(buffer),
            Self::Bucket(file) => file.read(buffer),
        }
    }
}

impl Seek for UploadReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Directory(file) => file.seek(to),
            Self::Bucket(file) => file.seek(to),
        }
    }
}

#[cfg(test)]
mod tests;
