//! Removes expired files, and files that no row refers to.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use tidegate_base::clock;
use tidegate_model::queues::queue_of;
use tidegate_queue::{Broker, BrokerError, JobId, JobState};
use tidegate_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{FileKind, Files, FilesError};

const PERIOD: Duration = Duration::from_secs(600);
/// How long a file without a row is kept. Its writer may be about to insert the row.
const GRACE: Duration = Duration::from_secs(3600);
/// After this time the writer of an unfinished file is considered dead.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);
/// How long a run without a job is kept. Its job may be about to be enqueued.
const HANDED_OVER: Duration = Duration::from_secs(300);
/// Rows per batch.
const AT_A_TIME: u32 = 100;

/// Removes files, with the tables and the broker that decide which ones.
pub struct FilesSweep {
    /// The files.
    pub files: Files,
    /// Their rows.
    pub store: Store,
    /// The broker, which knows the existing jobs.
    pub broker: Arc<dyn Broker>,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store of files is unavailable.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The tables are unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker is unavailable.
    #[error(transparent)]
    Queue(#[from] BrokerError),
}

impl FilesSweep {
    /// Sweeps now and every ten minutes, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let swept = [
                ("files whose time is over", self.expired().await),
                ("files without a row", self.orphans(GRACE).await),
                ("unfinished files", self.files.remove_unfinished(UNFINISHED).await.map_err(Into::into)),
                ("old runs", self.runs(HANDED_OVER).await),
            ];
            for (what, outcome) in swept {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "{what} can't be removed now");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Removes expired files.
    ///
    /// # Errors
    ///
    /// If files, tables or jobs cannot be reached.
    pub async fn expired(&self) -> Result<(), SweepError> {
        loop {
            let expired = self.store.expired_files(clock::now(), AT_A_TIME).await?;
            if expired.is_empty() {
                return Ok(());
            }
            for file in expired {
                // The row goes first: a client that requests the file now gets "not found" instead
                // of half a file. If the content stays behind, it is an orphan, which is swept too.
                self.store.forget_file(file.at.id).await?;
                self.files.remove(&file.at).await?;
            }
        }
    }

    /// Removes content that no row refers to. Backups have no rows, since they must outlive the
    /// database.
    ///
    /// # Errors
    ///
    /// If files, tables or jobs cannot be reached.
    pub async fn orphans(&self, age: Duration) -> Result<(), SweepError> {
        for kind in [FileKind::Export, FileKind::Report] {
            let mut found = self.files.list(kind);
            while let Some(file) = found.try_next().await? {
                let is_old = SystemTime::from(clock::now()).duration_since(file.written).unwrap_or_default() >= age;
                if is_old && !self.store.knows_file(file.at.id).await? {
                    self.files.remove(&file.at).await?;
                    tracing::info!(file = %file.at.id, "removed a file without a row");
                }
            }
        }
        Ok(())
    }

    /// Removes runs whose job is gone, and closes those whose job has ended.
    ///
    /// # Errors
    ///
    /// If files, tables or jobs cannot be reached.
    pub async fn runs(&self, age: Duration) -> Result<(), SweepError> {
        let before = clock::now() - age;
        let mut after = None;
        loop {
            let runs = self.store.old_runs(before, after.as_ref(), AT_A_TIME).await?;
            let Some(last) = runs.last() else { return Ok(()) };
            after = Some(last.clone());
            for run in runs {
                let (Ok(id), Some(queue)) = (JobId::new(&run.id), queue_of(run.kind)) else { continue };
                match self.broker.job(queue, &id).await?.map(|job| job.state) {
                    None => self.store.remove_run(&run.id).await?,
                    Some(JobState::Done | JobState::Dead | JobState::Cancelled) if !run.is_closed => {
                        self.store.close_run(&run.id).await?;
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

impl Files {
    /// Removes unfinished files that a killed process left behind. S3 keeps such parts separately,
    /// and removes them by a lifecycle rule of the bucket.
    pub(super) async fn remove_unfinished(&self, age: Duration) -> Result<(), FilesError> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        let swept = tokio::task::spawn_blocking(move || remove_unfinished(&directory, age)).await;
        let swept = swept.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        swept.map_err(|error| FilesError::of_io("sweep", &error))
    }
}

/// The library writes to the name with `#` and a number appended.
fn remove_unfinished(directory: &Path, age: Duration) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // An entry that is gone by now was finished, or another process has swept it.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            remove_unfinished(&entry.path(), age)?;
        } else if entry.file_name().to_string_lossy().contains('#') {
            let is_old = SystemTime::from(clock::now()).duration_since(metadata.modified()?).unwrap_or_default() >= age;
            if is_old && std::fs::remove_file(entry.path()).is_ok() {
                tracing::info!("removed the remains of an unfinished file");
            }
        }
    }
    Ok(())
}
