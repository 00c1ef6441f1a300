//! Queue `backup`: writes every table into a file, all from one state of the database.

use std::io;

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_base::clock;
use tidegate_domain::backup::{Digests, Manifest, Writer};
use tidegate_domain::files::{FileAt, FileId, FileKind, Files, FilesError, Written};
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};
use tidegate_store::{PAGE, Store, StoreError, TABLES};

use super::{JobContext, again};

/// Makes a backup.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MakeBackup {}

impl Job for MakeBackup {
    const KIND: &'static str = "backup.make";
    const QUEUE: &'static str = "backup";
}

/// Runs [`MakeBackup`].
#[derive(Debug, Clone)]
pub(crate) struct BackupHandler {
    /// The tables to back up.
    pub(crate) store: Store,
    /// Destination of the file.
    pub(crate) files: Files,
    /// Number of backups that are kept.
    pub(crate) keep: usize,
}

/// Adds the handler of backups to a worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    worker.handler::<MakeBackup, _>(BackupHandler {
        store: context.store.clone(),
        files: context.files.clone(),
        keep: context.settings.files.backup_keep,
    })
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("a backup can't be compressed: {0}")]
    Compress(#[from] io::Error),
    /// Another worker has the job now, or it was cancelled. The outcome of this run is ignored.
    #[error("stopped before the end")]
    Stopped,
}

#[async_trait::async_trait]
impl Handler<MakeBackup> for BackupHandler {
    async fn run(&self, _: MakeBackup, context: &Context) -> Outcome {
        match self.make(context).await {
            Ok(result) => Outcome::done(result),
            Err(Failure::Store(error)) => again(&error),
            // A destination that is unreachable may also be full. Each run writes everything again,
            // so the number of attempts is limited.
            Err(Failure::Files(error)) if !error.is_transient() => Outcome::bury(error),
            Err(error) => Outcome::retry(error),
        }
    }
}

impl BackupHandler {
    async fn make(&self, context: &Context) -> Result<serde_json::Value, Failure> {
        let at = FileAt::of_operations(FileKind::Backup);
        let (written, digests) = self.write(&at, context).await?;
        let removed = self.retain().await;
        if let Err(error) = &removed {
            // The next run removes them.
            tracing::warn!(%error, "old backups can't be removed now");
        }
        Ok(json!({
            "id": at.id,
            "bytes": written.bytes,
            "sha256": written.sha256,
            "tables": digests,
            "removed": removed.unwrap_or_default(),
        }))
    }

    async fn write(&self, at: &FileAt, context: &Context) -> Result<(Written, Digests), Failure> {
        let now = clock::now().timestamp_millis();
        let manifest = Manifest::of(Store::schema(), self.store.installation(), now, TABLES);
        let mut writer = Writer::new(&manifest)?;
        let mut file = self.files.create(at.clone()).await?;
        let mut snapshot = self.store.snapshot().await?;
        let mut rows_written = 0_u64;
        for (place, table) in TABLES.iter().enumerate() {
            let percent = u8::try_from(place * 100 / TABLES.len()).unwrap_or(100);
            let mut after = None;
            loop {
                if context.cancelled().is_cancelled() {
                    return Err(Failure::Stopped);
                }
                let message = format!("{rows_written} rows, at table {}", table.name);
                context.progress(percent, message).await.map_err(|_| Failure::Stopped)?;
                let rows = snapshot.rows_of(place, after.as_ref()).await?;
                rows.iter().try_for_each(|row| writer.row(row))?;
                rows_written += rows.len() as u64;
                file.write(&writer.take()).await?;
                if rows.len() < PAGE {
                    break;
                }
                after = rows.into_iter().next_back();
            }
            writer.end_table(table.name)?;
        }
        drop(snapshot);
        let (rest, digests) = writer.finish()?;
        file.write(&rest).await?;
        let written = file.finish().await?;
        context.progress(100, format!("{rows_written} rows")).await.map_err(|_| Failure::Stopped)?;
        Ok((written, digests))
    }

    /// Removes all but the newest backups. Returns the removed ones.
    async fn retain(&self) -> Result<Vec<FileId>, FilesError> {
        let mut backups: Vec<FileAt> =
            self.files.list(FileKind::Backup).map_ok(|stored| stored.at).try_collect().await?;
        // Ids grow with time.
        backups.sort_unstable_by_key(|at| std::cmp::Reverse(at.id));
        let mut removed = Vec::new();
        for old in backups.iter().skip(self.keep) {
            self.files.remove(old).await?;
            removed.push(old.id);
        }
        Ok(removed)
    }
}
