//! `/api/reports`: figures of a tenant over a span of time, as a page and a table that a job makes.

pub(super) mod operations;

use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use serde::Deserialize;
use tidegate_domain::report::{ReportKind, Span, SpanErrors};
use tidegate_node::jobs::MakeReport;

use super::file_runs::{self, RunView, Sent};
use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportRequest {
    kind: ReportKind,
    from: String,
    to: String,
}

/// Responds with the job that will create the report.
pub(super) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let sent = Sent::of(&request)?;
    let Json(ReportRequest { kind, from, to }) = Json::from_request(request, &app).await?;
    let span = Span::read(kind, &from, &to).map_err(|errors| invalid(&errors))?;
    let job = MakeReport::of(caller.tenant.id.clone(), kind, &span);
    file_runs::begin(&app, &caller, &job, app.settings().files.report, sent, "/api/reports").await
}

/// Returns the progress of the tenant's report, and in the end the locations of its files.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<RunView>, Problem> {
    file_runs::show::<MakeReport>(&app, &caller, &id).await
}

/// Lists every invalid field with its reason.
fn invalid(errors: &SpanErrors) -> Problem {
    let fields: serde_json::Map<_, _> =
        errors.iter().map(|(field, error)| ((*field).to_owned(), error.to_string().into())).collect();
    Problem::unprocessable("invalid-fields", errors.to_string()).with("fields", fields)
}
