//! Uploaded files on their way to the job that reads them.
//!
//! A file is written beside its final name, synced and linked to it, so that a name in the spool always stands for a whole
//! upload, and no upload replaces another. Its name is the id of its job.

use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::import::HeaderError;
use crate::private;
use crate::serve::TooSlow;

/// Ending of an upload that is not complete.
const PART: &str = "part";

/// The directory of uploads.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
}

/// An upload that was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The upload is larger than allowed.
    #[error("the upload is larger than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: u64,
    },
    /// Nothing came for too long.
    #[error("no data came for {} seconds", waited.as_secs())]
    Stalled {
        /// How long nothing came.
        waited: Duration,
    },
    /// It took too long in all, though it never stood still.
    #[error("the upload was not complete within {}", humantime::format_duration(*limit))]
    TooSlow {
        /// The longest that it may take.
        limit: Duration,
    },
    /// It never stood still for long, and brought next to nothing.
    #[error(transparent)]
    Dribbles(TooSlow),
    /// It begins with a wrong header, and the rest was not waited for.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The client broke off.
    #[error("the upload broke off: {reason}")]
    BrokeOff {
        /// What the connection said.
        reason: String,
    },
    /// An upload with the same id and another content was kept before.
    #[error("an upload with this id is there already, and has another content")]
    Taken,
    /// The disk said no.
    #[error("the upload can't be kept: {0}")]
    Io(#[from] io::Error),
}

/// What an upload may cost.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// Most bytes.
    pub bytes: u64,
    /// Longest wait for the next piece.
    pub stall: Duration,
    /// Longest time in all: a byte now and then would never stall.
    pub total: Duration,
}

impl Spool {
    /// Opens the spool in the data directory.
    ///
    /// # Errors
    ///
    /// When the directory can't be made.
    pub async fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join("spool");
        private::directory(&directory)?;
        Ok(Self { directory })
    }

    /// Where the upload of that id lies.
    pub fn path(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    /// Where the upload is written. Two uploads of one id, such as a repeated request, don't share it.
    fn part(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.{}.{PART}", Uuid::new_v4().simple()))
    }

    /// Writes an upload and returns its size; `check` sees each piece before it is written, and may refuse it.
    ///
    /// Until it has its final name, nothing is left when it fails or is dropped. From then on it stays: another request with
    /// the same id may rely on it. An upload with the same id and the same content as one that is there is kept as that.
    ///
    /// # Errors
    ///
    /// When the upload is refused, too large or too slow, stalls, breaks off, or can't be written; or when another one with
    /// the same id is there.
    pub async fn receive<E: Error + 'static>(
        &self,
        id: &str,
        pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
        check: impl FnMut(&[u8]) -> Result<(), HeaderError>,
        limits: UploadLimits,
    ) -> Result<u64, SpoolError> {
        let part = self.part(id);
        let (guard, written) = (Unfinished(part.clone()), part.clone());
        // What runs on another thread goes on when this future is dropped, so there the guard goes with the work.
        let (guard, file) = blocking(move || Ok((guard, create(&part)?))).await?;
        let size = tokio::time::timeout(limits.total, write(File::from_std(file), pieces, check, limits))
            .await
            .unwrap_or(Err(SpoolError::TooSlow { limit: limits.total }))?;
        let (whole, directory) = (self.path(id), self.directory.clone());
        if blocking(move || guard.publish(&written, &whole, &directory)).await? {
            Ok(size)
        } else {
            Err(SpoolError::Taken)
        }
    }

    /// Removes an upload; one that is gone already is fine.
    ///
    /// # Errors
    ///
    /// When the file is there and can't be removed.
    pub async fn remove(&self, id: &str) -> io::Result<()> {
        there(fs::remove_file(self.path(id)).await)?;
        Ok(())
    }

    /// Ids of the uploads that were written more than `age` before `now`; broken-off ones of that age are removed.
    ///
    /// # Errors
    ///
    /// When the directory can't be read.
    pub async fn older_than(&self, age: Duration, now: SystemTime) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut entries = fs::read_dir(&self.directory).await?;
        while let Some(entry) = entries.next_entry().await? {
            // What is gone by now was imported, or swept by another process.
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

async fn write<E: Error + 'static>(
    mut file: File,
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    mut check: impl FnMut(&[u8]) -> Result<(), HeaderError>,
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
        check(&piece)?;
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(size)
}

/// A new file for the account of the process alone: it holds a tenant's data.
///
/// The directory is created again if it was deleted. The one that holds it is not.
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

/// `None` for a file that is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs file work off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes its file when the upload is dropped on the way, as it is when the client goes away.
struct Unfinished(PathBuf);

impl Unfinished {
    /// Gives the upload its final name, for good: the name itself must outlive a power cut before it is acknowledged.
    /// `false` when the name stands for another content.
    ///
    /// Either way only the name that the upload was written under is removed.
    fn publish(self, part: &Path, whole: &Path, directory: &Path) -> io::Result<bool> {
        while let Err(error) = std::fs::hard_link(part, whole) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            match there(have_same_content(part, whole))? {
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

/// Whether two files hold the same bytes.
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
        // One unlink; what can't be removed now is swept later.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const LIMITS: UploadLimits =
        UploadLimits { bytes: 10, stall: Duration::from_secs(1), total: Duration::from_secs(60) };

    fn take(_: &[u8]) -> Result<(), HeaderError> {
        Ok(())
    }

    async fn spool() -> (tempfile::TempDir, Spool) {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).await.unwrap();
        (directory, spool)
    }

    fn names(spool: &Spool) -> usize {
        std::fs::read_dir(&spool.directory).unwrap().count()
    }

    #[tokio::test]
    async fn a_whole_upload_is_there_under_its_id() {
        let (_directory, spool) = spool().await;
        let pieces = stream::iter(["abc", "de"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
        assert_eq!(spool.receive("one", pieces, take, LIMITS).await.unwrap(), 5);
        assert_eq!(std::fs::read(spool.path("one")).unwrap(), b"abcde");
        spool.remove("one").await.unwrap();
        spool.remove("one").await.unwrap();
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test]
    async fn a_spool_that_was_deleted_is_created_again_but_not_the_data_directory() {
        let (directory, spool) = spool().await;
        let upload = async || {
            let pieces = stream::iter(["abc"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
            spool.receive("one", pieces, take, LIMITS).await
        };
        std::fs::remove_dir_all(&spool.directory).unwrap();
        assert_eq!(upload().await.unwrap(), 3);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&spool.directory).unwrap().permissions());
        assert_eq!(mode & 0o777, private::DIRECTORY);
        directory.close().unwrap();
        assert!(matches!(upload().await, Err(SpoolError::Io(_))));
        assert!(!spool.directory.exists());
    }

    #[tokio::test]
    async fn an_upload_over_the_limit_leaves_nothing() {
        let (_directory, spool) = spool().await;
        let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"0123")));
        assert!(matches!(spool.receive("big", pieces, take, LIMITS).await, Err(SpoolError::TooLarge { limit: 10 })));
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test]
    async fn a_broken_upload_leaves_nothing() {
        let (_directory, spool) = spool().await;
        let pieces =
            stream::iter([Ok(Bytes::from_static(b"abc")), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
        assert!(matches!(spool.receive("broken", pieces, take, LIMITS).await, Err(SpoolError::BrokeOff { .. })));
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_so() {
        let (_directory, spool) = spool().await;
        let pieces = stream::iter([Err::<Bytes, _>(axum::Error::new(TooSlow { rate: 512 }))]);
        let ended = spool.receive("dribble", pieces, take, LIMITS).await;
        assert!(matches!(ended, Err(SpoolError::Dribbles(TooSlow { rate: 512 }))), "{ended:?}");
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_upload_ends_and_leaves_nothing() {
        let (_directory, spool) = spool().await;
        let pieces = stream::pending::<Result<Bytes, Infallible>>();
        assert!(matches!(spool.receive("slow", pieces, take, LIMITS).await, Err(SpoolError::Stalled { .. })));
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_only_dribbles_ends_and_leaves_nothing() {
        let (_directory, spool) = spool().await;
        let pieces = stream::unfold((), async |()| {
            tokio::time::sleep(LIMITS.stall / 2).await;
            Some((Ok::<_, Infallible>(Bytes::new()), ()))
        });
        let limits = UploadLimits { total: Duration::from_secs(5), ..LIMITS };
        let ended = spool.receive("dribble", Box::pin(pieces), take, limits).await;
        assert!(matches!(ended, Err(SpoolError::TooSlow { limit }) if limit == limits.total), "{ended:?}");
        assert_eq!(names(&spool), 0);
    }

    #[tokio::test]
    async fn a_refused_piece_ends_the_upload_before_the_next_one_comes() {
        let (_directory, spool) = spool().await;
        // Whoever asks for a second piece waits for ever.
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"no"))]).chain(stream::pending());
        let refuse = |_: &[u8]| Err(HeaderError::Missing);
        let limits = UploadLimits { stall: Duration::from_secs(3600), ..LIMITS };
        let ended = spool.receive("wrong", pieces, refuse, limits).await;
        assert!(matches!(ended, Err(SpoolError::Header(HeaderError::Missing))), "{ended:?}");
        assert_eq!(names(&spool), 0);
    }

    async fn receive(spool: &Spool, id: &str, content: &'static str) -> Result<u64, SpoolError> {
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(content))]);
        spool.receive(id, pieces, take, LIMITS).await
    }

    #[tokio::test]
    async fn an_upload_never_replaces_another_one_of_its_id() {
        let (_directory, spool) = spool().await;
        assert_eq!(receive(&spool, "one", "abc").await.unwrap(), 3);
        assert_eq!(receive(&spool, "one", "abc").await.unwrap(), 3, "the same content is a repetition");
        for other in ["abd", "abcd", ""] {
            assert!(matches!(receive(&spool, "one", other).await, Err(SpoolError::Taken)), "{other:?}");
        }
        assert_eq!(std::fs::read(spool.path("one")).unwrap(), b"abc");
        assert_eq!(names(&spool), 1);
    }

    /// The name may be that of another request, which was acknowledged.
    #[tokio::test]
    async fn an_upload_that_fails_after_it_has_its_name_leaves_the_name_to_the_sweep() {
        let (_directory, spool) = spool().await;
        let (part, whole) = (spool.part("late"), spool.path("late"));
        std::fs::write(&part, "abc").unwrap();
        std::fs::write(&whole, "abc").unwrap();
        let nowhere = spool.directory.join("nowhere");
        assert!(Unfinished(part.clone()).publish(&part, &whole, &nowhere).is_err());
        assert_eq!(std::fs::read(&whole).unwrap(), b"abc");
        assert_eq!(names(&spool), 1);
    }
}
