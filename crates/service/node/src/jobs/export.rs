//! Queue `export`: writes a tenant's schedules into a file.
//!
//! All pages are read from one state of the database, and the file appears only when it is
//! complete. A run that dies leaves nothing to resume: the next run starts a new file. If two runs
//! end, only the first one's file is recorded.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_base::clock;
use tidegate_domain::export;
use tidegate_domain::files::FileKind;
use tidegate_domain::import::Format;
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};
use tidegate_store::{RunFiles, Snapshot, StoredFile};

use super::JobContext;
use super::file_run::{FileJob, FileRuns, RunFailure, outcome, told};

/// Maximum number of schedules in a page. A page of large schedules ends earlier.
const PAGE: usize = 200;

/// Exports all schedules of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportSchedules {
    /// The tenant.
    pub tenant: TenantId,
    /// Format of the file.
    pub format: Format,
}

impl Job for ExportSchedules {
    const KIND: &'static str = "schedules.export";
    const QUEUE: &'static str = "export";
}

impl FileJob for ExportSchedules {
    const MAKES: FileKind = FileKind::Export;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// Runs [`ExportSchedules`].
#[derive(Debug, Clone)]
pub(crate) struct ExportHandler(pub(crate) FileRuns);

/// Adds the handler of exports to a worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    worker.handler::<ExportSchedules, _>(ExportHandler(FileRuns::of(context, context.settings.files.export)))
}

#[async_trait::async_trait]
impl Handler<ExportSchedules> for ExportHandler {
    async fn run(&self, job: ExportSchedules, context: &Context) -> Outcome {
        let made = self.export(&job, context).await;
        outcome(made.map(|made| json!({ "file": told(&made.first) })))
    }
}

impl ExportHandler {
    async fn export(&self, job: &ExportSchedules, context: &Context) -> Result<RunFiles<StoredFile>, RunFailure> {
        if let Some(made) = self.0.begin(job, context).await? {
            return Ok(made);
        }
        let mut snapshot = self.0.store.snapshot().await?;
        let file = self.write(&mut snapshot, job, context).await?;
        drop(snapshot);
        self.0.end(job, context, RunFiles::one(file)).await
    }

    async fn write(
        &self,
        snapshot: &mut Snapshot,
        job: &ExportSchedules,
        context: &Context,
    ) -> Result<StoredFile, RunFailure> {
        let all = snapshot.count_schedules(&job.tenant).await?;
        let mut file = self.0.create(job).await?;
        file.write(export::beginning(job.format).as_bytes()).await?;
        let (mut written, mut after) = (0_u64, None);
        loop {
            if context.cancelled().is_cancelled() {
                return Err(RunFailure::Stopped);
            }
            let page = snapshot.schedules(&job.tenant, PAGE, after).await?;
            written += page.items.len() as u64;
            file.write(export::lines(job.format, &page.items).as_bytes()).await?;
            let percent = (written * 100).checked_div(all).map_or(100, |percent| u8::try_from(percent).unwrap_or(100));
            let message = format!("{written} of {all} written");
            context.progress(percent, message).await.map_err(|_| RunFailure::Stopped)?;
            let Some(cursor) = page.next_cursor else { break };
            after = Some(cursor.parse().map_err(|_| RunFailure::Cursor)?);
        }
        let name = format!("schedules-{}.{}", clock::now().format("%Y%m%d-%H%M%S"), export::extension(job.format));
        self.0.finish(file, name, export::content_type(job.format)).await
    }
}
