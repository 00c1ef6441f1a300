//! Queue `export`: writes a tenant's schedules into a file.
//!
//! All pages are read as of one moment, and the file is seen when it is whole. A run that dies leaves nothing to go on from: the
//! next one begins a file of its own, and of two that end only the first is entered.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};

use super::again;
use crate::clock;
use crate::export;
use crate::files::{FileAt, FileId, FileKind, Files, FilesError};
use crate::import::Format;
use crate::node::Node;
use crate::store::{Snapshot, Store, StoreError, StoredFile};
use crate::tenant::TenantId;

/// Schedules of a page. Large ones make it end sooner.
const PAGE: usize = 200;

/// Exports all schedules of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportSchedules {
    /// Whose.
    pub tenant: TenantId,
    /// How they are written.
    pub format: Format,
}

impl Job for ExportSchedules {
    const KIND: &'static str = "schedules.export";
    const QUEUE: &'static str = "export";
}

/// Runs [`ExportSchedules`].
#[derive(Debug, Clone)]
pub(crate) struct ExportHandler {
    /// Where the schedules are.
    pub(crate) store: Store,
    /// Where the file goes.
    pub(crate) files: Files,
    /// How long it is kept.
    pub(crate) keep: Duration,
}

/// Gives a worker the handler of exports.
pub(super) fn join(worker: WorkerBuilder, node: &Node) -> WorkerBuilder {
    worker.handler::<ExportSchedules, _>(ExportHandler {
        store: node.store.clone(),
        files: node.files.clone(),
        keep: node.settings.files.export_keep,
    })
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("a page could not be continued")]
    Cursor,
    /// Somebody else has the job now, or it was cancelled: whatever this run answers is not heard.
    #[error("stopped before the end")]
    Stopped,
}

#[async_trait::async_trait]
impl Handler<ExportSchedules> for ExportHandler {
    async fn run(&self, job: ExportSchedules, context: &Context) -> Outcome {
        match self.export(&job, context).await {
            Ok(file) => Outcome::done(result(&file)),
            Err(Failure::Store(error)) => again(&error),
            // No login, no bucket: whoever mends that tries the job again. A place that is away may as well be full, and whoever writes all
            // of it again each time has to come to an end.
            Err(Failure::Files(error)) if !error.is_transient() => Outcome::bury(error),
            Err(error) => Outcome::retry(error),
        }
    }
}

impl ExportHandler {
    async fn export(&self, job: &ExportSchedules, context: &Context) -> Result<StoredFile, Failure> {
        let id = context.id().as_str();
        if let Some(file) = self.store.open_export(id, &job.tenant).await?
            && let Some(file) = self.store.file(&job.tenant, file).await?
        {
            return Ok(file);
        }
        let mut snapshot = self.store.snapshot().await?;
        let file = self.write(&mut snapshot, job, context).await?;
        drop(snapshot);
        if !self.store.finish_export(id, &file).await? {
            // What another run has made is as good.
            self.files.remove(&file.at).await?;
            let made = self.store.file_of_export(id).await?;
            return self.find(job, made).await?.ok_or(Failure::Stopped);
        }
        Ok(file)
    }

    async fn find(&self, job: &ExportSchedules, file: Option<FileId>) -> Result<Option<StoredFile>, StoreError> {
        match file {
            Some(file) => self.store.file(&job.tenant, file).await,
            None => Ok(None),
        }
    }

    async fn write(
        &self,
        snapshot: &mut Snapshot,
        job: &ExportSchedules,
        context: &Context,
    ) -> Result<StoredFile, Failure> {
        let all = snapshot.count_schedules(&job.tenant).await?;
        let mut file = self.files.create(FileAt::of_tenant(FileKind::Export, job.tenant.clone())).await?;
        file.write(export::beginning(job.format).as_bytes()).await?;
        let (mut written, mut after) = (0_u64, None);
        loop {
            if context.cancelled().is_cancelled() {
                return Err(Failure::Stopped);
            }
            let page = snapshot.schedules(&job.tenant, PAGE, after).await?;
            written += page.items.len() as u64;
            file.write(export::lines(job.format, &page.items).as_bytes()).await?;
            let percent = (written * 100).checked_div(all).map_or(100, |percent| u8::try_from(percent).unwrap_or(100));
            let message = format!("{written} of {all} written");
            context.progress(percent, message).await.map_err(|_| Failure::Stopped)?;
            let Some(cursor) = page.next_cursor else { break };
            after = Some(cursor.parse().map_err(|_| Failure::Cursor)?);
        }
        let at = file.at().clone();
        let content = file.finish().await?;
        let created_at = clock::now();
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        Ok(StoredFile {
            name: format!("schedules-{}.{}", created_at.format("%Y%m%d-%H%M%S"), export::extension(job.format)),
            content_type: export::content_type(job.format).to_owned(),
            at,
            content,
            created_at,
            expires_at: created_at.checked_add_signed(keep).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC),
        })
    }
}

fn result(file: &StoredFile) -> serde_json::Value {
    json!({
        "file": {
            "id": file.at.id,
            "location": format!("/api/files/{}", file.at.id),
            "name": file.name,
            "bytes": file.content.bytes,
            "sha256": file.content.sha256,
            "expires_at": file.expires_at,
        },
    })
}
