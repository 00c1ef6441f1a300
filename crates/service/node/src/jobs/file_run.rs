//! What jobs have in common that make files for a tenant.
//!
//! A run that dies leaves nothing to go on from: the next one makes files of its own, and of two that end only what the first has made
//! is entered. What the other made is removed, or swept.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tidegate_base::clock;
use tidegate_domain::files::{FileAt, FileId, FileKind, Files, FilesError, NewFile};
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Context, Job, Outcome};
use tidegate_settings::FileRunSettings;
use tidegate_store::{Made, Store, StoreError, StoredFile};

use super::{JobContext, again};

/// A job that makes files for a tenant.
pub trait FileJob: Job {
    /// What they are.
    const MAKES: FileKind;

    /// Whose they are.
    fn tenant(&self) -> &TenantId;
}

/// Where such jobs leave what they make.
#[derive(Debug, Clone)]
pub(crate) struct FileRuns {
    /// What is written about, and what is known of the files.
    pub(crate) store: Store,
    /// Where the files go.
    pub(crate) files: Files,
    /// How long they are kept.
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
    /// What was asked for can't be made, whoever tries it.
    #[error("{0}")]
    Unwanted(String),
    /// Somebody else has the job now, or it was cancelled: whatever this run answers is not heard.
    #[error("stopped before the end")]
    Stopped,
}

/// What the queue is to do with a job whose run came to this.
pub(super) fn outcome(result: Result<Value, RunFailure>) -> Outcome {
    match result {
        Ok(result) => Outcome::done(result),
        Err(RunFailure::Store(error)) => again(&error),
        Err(error @ RunFailure::Unwanted(_)) => Outcome::bury(error),
        // No login, no bucket: whoever mends that tries the job again. A place that is away may as well be full, and whoever writes all
        // of it again each time has to come to an end.
        Err(RunFailure::Files(error)) if !error.is_transient() => Outcome::bury(error),
        Err(error) => Outcome::retry(error),
    }
}

/// What a result says of a file.
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
    /// Those of a worker.
    pub(super) fn of(context: &JobContext<'_>, settings: FileRunSettings) -> Self {
        Self { store: context.store.clone(), files: context.files.clone(), keep: settings.keep }
    }

    /// Begins a run: what an earlier one of the job has made, where one has.
    pub(super) async fn begin<J: FileJob>(
        &self,
        job: &J,
        context: &Context,
    ) -> Result<Option<Made<StoredFile>>, RunFailure> {
        match self.store.open_run(context.id().as_str(), job.tenant(), J::MAKES).await? {
            Some(made) => Ok(self.find(job.tenant(), made).await?),
            None => Ok(None),
        }
    }

    /// Enters what a run has made. Where another one was there first, what that has made is as good.
    pub(super) async fn end<J: FileJob>(
        &self,
        job: &J,
        context: &Context,
        made: Made<StoredFile>,
    ) -> Result<Made<StoredFile>, RunFailure> {
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

    /// The files of those ids, unless the time of one is over.
    async fn find(&self, tenant: &TenantId, made: Made<FileId>) -> Result<Option<Made<StoredFile>>, StoreError> {
        let Some(first) = self.store.file(tenant, made.first).await? else { return Ok(None) };
        let Some(second) = made.second else { return Ok(Some(Made::one(first))) };
        Ok(self.store.file(tenant, second).await?.map(|second| Made::pair(first, second)))
    }

    /// Begins a file of the job's tenant.
    pub(super) async fn create<J: FileJob>(&self, job: &J) -> Result<NewFile, RunFailure> {
        Ok(self.files.create(FileAt::of_tenant(J::MAKES, job.tenant().clone())).await?)
    }

    /// Ends a file, which is kept from now on for as long as such files are.
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

    /// Writes two files that are worth nothing without each other.
    pub(super) async fn write_pair<J: FileJob>(
        &self,
        job: &J,
        pair: [Text; 2],
    ) -> Result<Made<StoredFile>, RunFailure> {
        let [first, second] = pair;
        let first = self.write(job, first).await?;
        match self.write(job, second).await {
            Ok(second) => Ok(Made::pair(first, second)),
            Err(failure) => {
                // What can't be removed now is swept.
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

/// The whole of a small file.
#[derive(Debug)]
pub(super) struct Text {
    /// What it is called where it is saved.
    pub(super) name: String,
    /// Its media type.
    pub(super) content_type: &'static str,
    /// What it holds.
    pub(super) content: String,
}
