//! `/api/schedules/export`: a tenant's schedules as a file, created by a job.

pub(super) mod operations;

use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use serde::Deserialize;
use tidegate_domain::import::Format;
use tidegate_node::jobs::ExportSchedules;

use super::file_runs::{self, RunView, Sent};
use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportRequest {
    format: Format,
}

/// Responds with the job that will write the file.
pub(super) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let sent = Sent::of(&request)?;
    let Json(ExportRequest { format }) = Json::from_request(request, &app).await?;
    let job = ExportSchedules { tenant: caller.tenant.id.clone(), format };
    file_runs::begin(&app, &caller, &job, app.settings().files.export, sent, "/api/schedules/export").await
}

/// Returns the progress of the tenant's export, and in the end the location of its file.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<RunView>, Problem> {
    file_runs::show::<ExportSchedules>(&app, &caller, &id).await
}
