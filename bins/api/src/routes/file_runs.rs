//! Jobs that create files for a tenant, as exports and reports do: their start and their progress.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tidegate_domain::files::FileKind;
use tidegate_node::jobs::{FileJob, FilePlace, FilesNotAdmitted};
use tidegate_perfmon::TraceContext;
use tidegate_queue::{JobId, JobState, Progress, Timestamp};
use tidegate_settings::FileRunSettings;

use crate::openapi::derived::{job_state, progress_or_null};
use crate::routes::queues::Stem;
use tidegate_web::answer::accepted;
use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::limits;
use tidegate_web::problem::{Problem, may_be_enqueued};

/// A job as its tenant sees it. Errors of its attempts are for the operators.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunView {
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
    /// The result, once there is one.
    #[schemars(with = "Value")]
    result: Option<Value>,
}

/// The parts of a request beside its body.
pub(super) struct Sent {
    trace: Option<String>,
    key: IdempotencyKey,
}

impl Sent {
    /// Reads it from the request's extensions and headers.
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        let trace = request.extensions().get::<TraceContext>().map(ToString::to_string);
        Ok(Self { trace, key: IdempotencyKey::of(request.headers())? })
    }
}

/// Responds with the job that will create the files, which is shown below `path`.
pub(super) async fn begin<J: FileJob>(
    app: &App,
    caller: &Caller,
    job: &J,
    settings: FileRunSettings,
    Sent { trace, key }: Sent,
    path: &str,
) -> Result<Response, Problem> {
    let node = app.node();
    let id = match Stem::within(&key, &[J::MAKES.name(), caller.tenant.id.as_str()]) {
        Some(stem) => stem.id()?,
        None => JobId::generate(),
    };
    let location = format!("{path}/{id}");
    if key.is_some()
        && let Some(record) = node.broker.job(J::QUEUE, &id).await?
    {
        let is_same = serde_json::to_string(job).is_ok_and(|payload| payload == record.payload);
        return if is_same { Ok(([REPLAYED], accepted(&id, location)).into_response()) } else { Err(reused()) };
    }
    // All of them are equally expensive, and are counted together.
    limits::enforce(&app.limiters().report, &caller.asker()).await?;
    let place =
        FilePlace { store: &node.store, broker: &*node.broker, producer: app.producer(), most: settings.max_pending };
    place.begin(job, &id, trace).await.map_err(|error| {
        let problem = not_admitted(&error).retry_with_key(key.is_some());
        if may_be_enqueued(&error) { problem.of_job(&id, location.clone()) } else { problem }
    })?;
    Ok(accepted(&id, location))
}

/// Returns the progress of the tenant's job, and in the end the locations of its files.
pub(super) async fn show<J: FileJob>(app: &App, caller: &Caller, id: &str) -> Result<axum::Json<RunView>, Problem> {
    let missing = || Problem::not_found(format!("there is no {} `{id}`", J::MAKES.name()));
    let job = JobId::new(id).map_err(|_| missing())?;
    let record = app.node().broker.job(J::QUEUE, &job).await?;
    let record = record.filter(|record| record.kind == J::KIND).ok_or_else(missing)?;
    let payload: J = serde_json::from_str(&record.payload).map_err(|error| Problem::internal(&error))?;
    if *payload.tenant() != caller.tenant.id {
        return Err(missing());
    }
    Ok(axum::Json(RunView {
        id: record.id,
        state: record.state,
        progress: record.progress,
        created_at: record.created_at,
        finished_at: record.finished_at,
        result: record.result,
    }))
}

fn not_admitted(error: &FilesNotAdmitted) -> Problem {
    match error {
        FilesNotAdmitted::TooMany { kind, .. } => {
            let problem = if *kind == FileKind::Report { "too-many-reports" } else { "too-many-exports" };
            Problem::new(StatusCode::TOO_MANY_REQUESTS, problem, error.to_string()).try_again_later()
        }
        FilesNotAdmitted::Store(error) => Problem::from(error),
        FilesNotAdmitted::Queue(error) => Problem::from(error),
        other => Problem::internal(other),
    }
}
