//! `/api/backups`: copies of all tables, made by a job.

pub(super) mod operations;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_domain::files::{FileId, FileKind, FilesError, Stored};
use tidegate_node::jobs::MakeBackup;
use tidegate_perfmon::TraceContext;
use tidegate_queue::{EnqueueOptions, Job, JobId, Timestamp};
use uuid::Uuid;

use crate::routes::queues::Stem;
use tidegate_web::answer::{Accepted, OnlyPage};
use tidegate_web::app::App;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED};
use tidegate_web::problem::Problem;

/// A backup that exists.
#[derive(Serialize, JsonSchema)]
pub(super) struct Backup {
    #[schemars(with = "Uuid")]
    id: FileId,
    bytes: u64,
    #[schemars(with = "DateTime<Utc>")]
    created_at: Timestamp,
}

/// Responds with the job that makes the next one.
pub(super) async fn create(State(app): State<App>, key: IdempotencyKey, request: Request) -> Result<Response, Problem> {
    let id = match Stem::within(&key, &["backup"]) {
        Some(stem) => stem.id()?,
        None => JobId::generate(),
    };
    let options = match request.extensions().get::<TraceContext>() {
        Some(trace) => EnqueueOptions::new().trace_parent(trace.to_string()),
        None => EnqueueOptions::new(),
    };
    let location = format!("/api/queue/{}/jobs/{id}", MakeBackup::QUEUE);
    let body = || Accepted { job_id: &id, location: &location };
    let accepted = || (StatusCode::ACCEPTED, axum::Json(body())).into_response();
    if key.is_some() && app.node().broker.job(MakeBackup::QUEUE, &id).await?.is_some() {
        return Ok(([REPLAYED], accepted()).into_response());
    }
    // With a key, the queue leaves an existing job unchanged.
    app.producer().enqueue_with(&MakeBackup {}, options.id(id.clone())).await.map_err(|error| {
        let problem = Problem::internal(&error).retry_with_key(key.is_some());
        if error.may_have_run() { problem.of_job(&id, location.clone()) } else { problem }
    })?;
    Ok(accepted())
}

/// Existing backups, newest first, on one page: there are only as many as are kept.
pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<OnlyPage<Backup>>, Problem> {
    let listed: Result<Vec<Stored>, FilesError> = app.node().files.list(FileKind::Backup).try_collect().await;
    let mut backups = listed.map_err(|error| {
        if error.is_transient() {
            return Problem::unavailable("unavailable", "backups can't be listed now").caused_by(&error);
        }
        Problem::internal(&error)
    })?;
    backups.sort_unstable_by_key(|backup| std::cmp::Reverse(backup.at.id));
    let item = |backup: &Stored| {
        let made = Timestamp::from_unix_ms(i64::try_from(backup.at.id.made_at_ms()).unwrap_or(i64::MAX));
        Backup { id: backup.at.id, bytes: backup.bytes, created_at: made }
    };
    Ok(axum::Json(OnlyPage::of(backups.iter().map(item).collect())))
}
