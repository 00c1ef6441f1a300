//! A file that is being written.

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use object_store::MultipartUpload;
use sha2::{Digest, Sha256};
use tidegate_model::file::{FileAt, Written};

use super::error::FilesError;

/// Bytes per part. S3 accepts at most 10,000 parts, and only the last one may be smaller than 5
/// MiB.
const PART: usize = 8 << 20;

/// A file that is being written in parts. One part is kept in memory.
///
/// If it is dropped before it is [finished](Self::finish), the file does not exist. The parts that
/// were sent are discarded.
pub struct NewFile {
    at: FileAt,
    upload: Option<Box<dyn MultipartUpload>>,
    part: BytesMut,
    bytes: u64,
    digest: Sha256,
}

impl NewFile {
    pub(super) fn new(at: FileAt, upload: Box<dyn MultipartUpload>) -> Self {
        Self { at, upload: Some(upload), part: BytesMut::new(), bytes: 0, digest: Sha256::new() }
    }

    /// Returns its future location.
    pub fn at(&self) -> &FileAt {
        &self.at
    }

    /// Returns how many bytes were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends bytes. Waits while a part is being sent, so that a writer is no faster than the
    /// store.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be written. The file can then only be dropped.
    pub async fn write(&mut self, mut piece: &[u8]) -> Result<(), FilesError> {
        self.digest.update(piece);
        self.bytes += piece.len() as u64;
        while !piece.is_empty() {
            let (fitting, rest) = piece.split_at(piece.len().min(PART - self.part.len()));
            self.part.extend_from_slice(fitting);
            piece = rest;
            if self.part.len() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), FilesError> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.put_part(part.into()).await.map_err(|error| FilesError::of("write", &error))
    }

    /// Completes the file, and returns its size and hash. After that the file survives a power
    /// failure.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. It does not exist then, unless the store has completed it and
    /// could not confirm that. Such a file is an orphan and gets swept.
    pub async fn finish(mut self) -> Result<Written, FilesError> {
        // An empty file has one empty part.
        if !self.part.is_empty() || self.bytes == 0 {
            self.send().await?;
        }
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(|error| FilesError::of("complete", &error))?;
        }
        self.upload = None;
        Ok(Written { bytes: self.bytes, sha256: HEXLOWER.encode(&self.digest.finalize_reset()) })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let id = self.at.id;
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                let error = FilesError::of("give up", &error);
                tracing::warn!(%error, file = %id, "the written part of a file could not be discarded");
            }
        });
    }
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewFile").field("at", &self.at).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
