//! Reads a file from any byte, window by window.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::error::FilesError;

/// Bytes per request, which are kept in memory.
const WINDOW: u64 = 1 << 20;

/// A file that is open for reading.
///
/// It blocks, like a file on a disk. Each request names the version that was opened, so a read
/// fails if the file was replaced meanwhile. After an error, a retry at the same position may
/// succeed.
pub struct FileReader {
    store: Arc<dyn ObjectStore>,
    key: Path,
    size: u64,
    version: Option<String>,
    position: u64,
    /// Bytes of the file, starting at `window_at`.
    window: Bytes,
    window_at: u64,
    runtime: Handle,
}

impl FileReader {
    pub(super) async fn open(store: Arc<dyn ObjectStore>, key: Path) -> Result<Self, FilesError> {
        let meta = match store.head(&key).await {
            // A response to HEAD has no body, so it does not show whether the bucket is missing.
            Err(object_store::Error::NotFound { .. }) => store.get(&key).await.map(|got| got.meta),
            other => other,
        };
        let meta = meta.map_err(|error| FilesError::of("read", &error))?;
        Ok(Self {
            store,
            key,
            size: meta.size,
            version: meta.e_tag,
            position: 0,
            window: Bytes::new(),
            window_at: 0,
            runtime: Handle::current(),
        })
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the buffered bytes from the position on.
    fn ahead(&self) -> &[u8] {
        let passed = self.position.checked_sub(self.window_at).and_then(|passed| usize::try_from(passed).ok());
        passed.and_then(|passed| self.window.get(passed..)).unwrap_or_default()
    }

    /// Fetches the next window. It is shorter if the file ends or the response was cut off.
    async fn fetch(&self) -> Result<Bytes, FilesError> {
        let end = self.size.min(self.position + WINDOW);
        if self.position >= end {
            return Ok(Bytes::new());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.position..end)),
            if_match: self.version.clone(),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.key, options).await.map_err(|error| FilesError::of("read", &error))?;
        collect(got).await
    }
}

/// Collects a response. If it is cut off, the bytes before the cut are used, and the next request
/// begins after them. Each response makes progress or is an error.
async fn collect(got: GetResult) -> Result<Bytes, FilesError> {
    let mut pieces = got.into_stream();
    let mut window = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => window.extend_from_slice(&piece),
            Err(error) if window.is_empty() => return Err(FilesError::of("read", &error)),
            Err(_) => break,
        }
    }
    if window.is_empty() { Err(FilesError::cut_off("read")) } else { Ok(window.freeze()) }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead().is_empty() {
            self.window = self.runtime.block_on(self.fetch())?;
            self.window_at = self.position;
        }
        let ahead = self.ahead();
        let count = buffer.len().min(ahead.len());
        buffer[..count].copy_from_slice(&ahead[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(byte) => Some(byte),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").field("size", &self.size).field("position", &self.position).finish_non_exhaustive()
    }
}
