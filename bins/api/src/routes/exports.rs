//! `/api/schedules/export`: a tenant's schedules as a file, made by a job.

pub(super) mod operations;

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_app::import::Format;
use tidegate_app::jobs::{ExportNotAdmitted, ExportPlace, ExportSchedules};
use tidegate_perfmon::TraceContext;
use tidegate_queue::{Job, JobId, Progress, State as JobState, Timestamp};

use crate::answer::accepted;
use crate::app::App;
use crate::caller::Caller;
use crate::json::Json;
use crate::limits;
use crate::path::Path;
use crate::problem::Problem;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    format: Format,
}

/// An export as its tenant sees it. Errors of its attempts are the operations' business.
#[derive(Debug, Serialize)]
pub(crate) struct ExportView {
    id: JobId,
    state: JobState,
    progress: Option<Progress>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// The file, once it is there.
    result: Option<Value>,
}

/// Answers with the job that will write the file.
pub(super) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let trace = request.extensions().get::<TraceContext>().map(ToString::to_string);
    let Json(Asked { format }) = Json::from_request(request, &app).await?;
    // As dear as a report, and counted with them.
    limits::enforce(&app.limiters().report, caller.tenant.id.as_str()).await?;
    let node = app.node();
    let place = ExportPlace {
        store: &node.store,
        broker: &*node.broker,
        producer: app.producer(),
        most: app.settings().files.export_max_pending,
    };
    let job = ExportSchedules { tenant: caller.tenant.id.clone(), format };
    let id = place.begin(&job, trace).await.map_err(|error| not_admitted(&error))?;
    Ok(accepted(&id, format!("/api/schedules/export/{id}")))
}

/// How far the tenant's export is, and in the end where its file is.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<ExportView>, Problem> {
    let missing = || Problem::not_found(format!("there is no export `{id}`"));
    let job = JobId::new(&id).map_err(|_| missing())?;
    let record = app.node().broker.job(ExportSchedules::QUEUE, &job).await?;
    let record = record.filter(|record| record.kind == ExportSchedules::KIND).ok_or_else(missing)?;
    let payload: ExportSchedules = serde_json::from_str(&record.payload).map_err(|error| Problem::internal(&error))?;
    if payload.tenant != caller.tenant.id {
        return Err(missing());
    }
    Ok(axum::Json(ExportView {
        id: record.id,
        state: record.state,
        progress: record.progress,
        created_at: record.created_at,
        finished_at: record.finished_at,
        result: record.result,
    }))
}

fn not_admitted(error: &ExportNotAdmitted) -> Problem {
    match error {
        ExportNotAdmitted::TooMany { .. } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-exports", error.to_string()).try_again_later()
        }
        ExportNotAdmitted::Store(error) => Problem::from(error),
        ExportNotAdmitted::Queue(error) => Problem::from(error),
        other => Problem::internal(other),
    }
}
