//! What jobs make for a tenant as files: asking for it, and how far it is. Exports and reports are such jobs.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tidegate_app::files::FileKind;
use tidegate_app::jobs::{FileJob, FilePlace, FilesNotAdmitted};
use tidegate_app::settings::FileRunSettings;
use tidegate_queue::{JobId, Progress, State as JobState, Timestamp};

use crate::answer::accepted;
use crate::app::App;
use crate::caller::Caller;
use crate::limits;
use crate::openapi::schema::{anything, named, object, or_null, text, time};
use crate::problem::Problem;

/// A run as its tenant sees it. Errors of its attempts are the operations' business.
#[derive(Debug, Serialize)]
pub(super) struct RunView {
    id: JobId,
    state: JobState,
    progress: Option<Progress>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// What it has made, once that is there.
    result: Option<Value>,
}

/// What the document says of [`RunView`].
pub(super) fn view() -> Value {
    object([
        ("id", text()),
        ("state", named("JobState")),
        ("progress", or_null(named("Progress"))),
        ("created_at", time()),
        ("finished_at", or_null(time())),
        ("result", anything()),
    ])
}

/// Answers with the job that will make the files, which is shown below `path`.
pub(super) async fn begin<J: FileJob>(
    app: &App,
    caller: &Caller,
    job: &J,
    settings: FileRunSettings,
    trace: Option<String>,
    path: &str,
) -> Result<Response, Problem> {
    // One is as dear as another, and they are counted together.
    limits::enforce(&app.limiters().report, &caller.asker()).await?;
    let node = app.node();
    let place =
        FilePlace { store: &node.store, broker: &*node.broker, producer: app.producer(), most: settings.max_pending };
    let id = place.begin(job, trace).await.map_err(|error| not_admitted(&error))?;
    Ok(accepted(&id, format!("{path}/{id}")))
}

/// How far the tenant's run is, and in the end where its files are.
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
