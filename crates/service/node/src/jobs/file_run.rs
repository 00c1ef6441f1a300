//! Shared code of jobs that make files for a tenant.
//!
//! A run that dies leaves nothing to resume: the next run makes new files. If two runs end, only
//! the first one's files are recorded. The files of the other are removed or swept.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tidegate_base::clock;
use tidegate_domain::files::{FileAt, FileId, FileKind, Files, FilesError, NewFile};
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Context, Job, Outcome};
use tidegate_settings::FileRunSettings;
use tidegate_store::{RunFiles, Store, StoreError, StoredFile};

use super::{JobContext, again};

/// A job that makes files for a tenant.
pub trait FileJob: Job {
    /// Kind of the files.
    const MAKES: FileKind;

    /// Returns the tenant of the files.
    fn tenant(&self) -> &TenantId;
}

/// Stores the files of such jobs.
#[derive(Debug, Clone)]
pub(crate) struct FileRuns {
    /// The tables that are exported, and the rows of the files.
    pub(crate) store: Store,
    /// Destination of the files.
    pub(crate) files: Files,
    /// How long the files are kept.
    pub(crate) keep: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RunFailure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("a page could not be continued")]
    Cursor,
    /// The request can't be fulfilled in any attempt.
    #[error("{0}")]
    Unwanted(String),
    /// Another worker has the job now, or it was cancelled. The outcome of this run is ignored.
    #[error("stopped before the end")]
    Stopped,
}

/// Returns the outcome of a job from the result of its run.
pub(super) fn outcome(result: Result<Value, RunFailure>) -> Outcome {
    match result {
        Ok(result) => Outcome::done(result),
        Err(RunFailure::Store(error)) => again(&error),
        Err(error @ RunFailure::Unwanted(_)) => Outcome::bury(error),
        // An invalid login or bucket needs an operator, who then retries the job. A destination
        // that is unreachable may also be full. Each run writes everything again, so the number of
        // attempts is limited.
        Err(RunFailure::Files(error)) if !error.is_transient() => Outcome::bury(error),
        Err(error) => Outcome::retry(error),
    }
}

/// Describes a file in a job's result.
pub(super) fn told(file: &StoredFile) -> Value {
    json!({
        "id": file.at.id,
        "location": format!("/api/files/{}", file.at.id),
        "name": file.name,
        "bytes": file.content.bytes,
        "sha256": file.content.sha256,
        "expires_at": file.expires_at,
    })
}

impl FileRuns {
    /// Makes it from the dependencies of a worker.
    pub(super) fn of(context: &JobContext<'_>, settings: FileRunSettings) -> Self {
        Self { store: context.store.clone(), files: context.files.clone(), keep: settings.keep }
    }

    /// Starts a run. Returns the files of an earlier run of the job, if it has made any.
    pub(super) async fn begin<J: FileJob>(
        &self,
        job: &J,
        context: &Context,
    ) -> Result<Option<RunFiles<StoredFile>>, RunFailure> {
        match self.store.open_run(context.id().as_str(), job.tenant(), J::MAKES).await? {
            Some(made) => Ok(self.find(job.tenant(), made).await?),
            None => Ok(None),
        }
    }

    /// Records the files of a run. If another run was first, returns that run's files, which are
    /// equivalent.
    pub(super) async fn end<J: FileJob>(
        &self,
        job: &J,
        context: &Context,
        made: RunFiles<StoredFile>,
    ) -> Result<RunFiles<StoredFile>, RunFailure> {
        let id = context.id().as_str();
        let is_wanted = !context.cancelled().is_cancelled();
        if is_wanted && self.store.finish_run(id, &made).await? {
            return Ok(made);
        }
        for file in made.iter() {
            self.files.remove(&file.at).await?;
        }
        if !is_wanted {
            return Err(RunFailure::Stopped);
        }
        match self.store.files_of_run(id).await? {
            Some(first) => self.find(job.tenant(), first).await?.ok_or(RunFailure::Stopped),
            None => Err(RunFailure::Stopped),
        }
    }

    /// Returns the files with those ids. `None` if one of them has expired.
    async fn find(
        &self,
        tenant: &TenantId,
        made: RunFiles<FileId>,
    ) -> Result<Option<RunFiles<StoredFile>>, StoreError> {
        let Some(first) = self.store.file(tenant, made.first).await? else { return Ok(None) };
        let Some(second) = made.second else { return Ok(Some(RunFiles::one(first))) };
        Ok(self.store.file(tenant, second).await?.map(|second| RunFiles::pair(first, second)))
    }

    /// Creates a file of the job's tenant.
    pub(super) async fn create<J: FileJob>(&self, job: &J) -> Result<NewFile, RunFailure> {
        Ok(self.files.create(FileAt::of_tenant(J::MAKES, job.tenant().clone())).await?)
    }

    /// Finishes a file. Its retention time starts now.
    pub(super) async fn finish(
        &self,
        file: NewFile,
        name: String,
        content_type: &'static str,
    ) -> Result<StoredFile, RunFailure> {
        let at = file.at().clone();
        let content = file.finish().await?;
        let created_at = clock::now();
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        let expires_at = created_at.checked_add_signed(keep).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Ok(StoredFile { at, name, content_type: content_type.to_owned(), content, created_at, expires_at })
    }

    /// Writes two files that are only useful together.
    pub(super) async fn write_pair<J: FileJob>(
        &self,
        job: &J,
        pair: [Text; 2],
    ) -> Result<RunFiles<StoredFile>, RunFailure> {
        let [first, second] = pair;
        let first = self.write(job, first).await?;
        match self.write(job, second).await {
            Ok(second) => Ok(RunFiles::pair(first, second)),
            Err(failure) => {
                // A file that can't be removed now is swept.
                let _ = self.files.remove(&first.at).await;
                Err(failure)
            }
        }
    }

    async fn write<J: FileJob>(&self, job: &J, text: Text) -> Result<StoredFile, RunFailure> {
        let mut file = self.create(job).await?;
        file.write(text.content.as_bytes()).await?;
        self.finish(file, text.name, text.content_type).await
    }
}

/// The whole content of a small file.
#[derive(Debug)]
pub(super) struct Text {
    /// File name for downloads.
    pub(super) name: String,
    /// Media type.
    pub(super) content_type: &'static str,
    /// Content.
    pub(super) content: String,
}
