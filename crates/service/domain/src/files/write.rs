//! A file on its way.

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use object_store::MultipartUpload;
use sha2::{Digest, Sha256};

use super::{FileAt, FilesError, Written};

/// Bytes of a part. S3 takes no smaller ones but the last, and 10,000 of them.
const PART: usize = 8 << 20;

/// A file that is being written, in parts, of which one is held in memory.
///
/// Dropped before it is [finished](Self::finish), it never was: what was sent of it is thrown away.
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

    /// Where it will be.
    pub fn at(&self) -> &FileAt {
        &self.at
    }

    /// Bytes that were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to it. Waits while a part is sent, so that whoever writes is no faster than the place takes it.
    ///
    /// # Errors
    ///
    /// When it can't be written; it can then only be dropped.
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

    /// Makes it a file, and says what it holds. When this returns, it outlives a power cut.
    ///
    /// # Errors
    ///
    /// When it can't be written: then it is not there, but where a store has done so and could not say it. Such a file belongs to
    /// nobody, and is swept.
    pub async fn finish(mut self) -> Result<Written, FilesError> {
        // An empty file is one empty part.
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
                tracing::warn!(%error, file = %id, "what was written of a file could not be thrown away");
            }
        });
    }
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewFile").field("at", &self.at).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
