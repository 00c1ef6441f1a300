//! A tenant's view of its import.
//!
//! It is not the job's record: the errors of its attempts can name paths, workers and databases.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tidegate_queue::{JobId, JobRecord, JobState, Progress, Timestamp};
use tidegate_store::{FailedImport, ImportFailure};

use crate::openapi::derived::{job_state, progress_or_null};

/// An import as its tenant sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImportView {
    #[schemars(with = "String")]
    id: JobId,
    #[schemars(schema_with = "job_state")]
    state: JobState,
    #[schemars(schema_with = "progress_or_null")]
    progress: Option<Progress>,
    #[schemars(with = "DateTime<Utc>")]
    created_at: Timestamp,
    #[schemars(with = "Option<DateTime<Utc>>")]
    finished_at: Option<Timestamp>,
    #[schemars(with = "Value")]
    result: Option<Value>,
    reason: Option<Reason>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Reason {
    kind: &'static str,
    detail: String,
}

impl ImportView {
    pub(super) fn new(job: JobRecord, failed: Option<FailedImport>) -> Self {
        let JobRecord { id, state, progress, created_at, finished_at, result, .. } = job;
        let reason = (state == JobState::Dead).then(|| Reason::of(failed));
        Self { id, state, progress, created_at, finished_at, result, reason }
    }
}

impl Reason {
    fn of(failed: Option<FailedImport>) -> Self {
        let Some(FailedImport { failure, imported, rejected }) = failed else {
            let detail = "it failed for a reason of ours, which the operations can see under its id";
            return Self { kind: "failed", detail: detail.to_owned() };
        };
        let why = match failure {
            ImportFailure::TooManyRejects => "more lines are bad than an import may have",
            ImportFailure::UploadGone => "the uploaded file is gone; upload it again",
            _ => "the uploaded file can't be read",
        };
        Self { kind: failure.name(), detail: format!("{why}; until then {imported} imported, {rejected} rejected") }
    }
}
