//! `POST /api/queue/{queue}/jobs`: enqueues one job.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tidegate_perfmon::TraceContext;
use tidegate_queue::{JobId, Stored};

use super::idempotency::Stem;
use super::known;
use super::new_job::{Draft, RawJob};
use tidegate_web::app::App;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// 201 for a job that is new, or was created with the same `Idempotency-Key`. 200 if the queue has
/// the client's own id for a job of the same description.
pub(super) async fn create(
    State(app): State<App>,
    Path(queue): Path<String>,
    key: IdempotencyKey,
    Extension(trace): Extension<TraceContext>,
    Json(raw): Json<RawJob>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    let draft = raw.check(queue).map_err(|faults| faults.problem(""))?;
    let stem = Stem::of(&key, queue);
    let id = match (&stem, draft.id.clone()) {
        (Some(_), Some(_)) => return Err(two_names()),
        (Some(stem), None) => Some(stem.id()?),
        (None, id) => id,
    };
    let job = draft.job(id, trace, "")?;
    let id = job.id().clone();
    let stored = app.node().broker.enqueue(queue, vec![job]).await.map_err(|error| {
        let problem = Problem::from(&error).retry_with_key(stem.is_some());
        if error.may_have_run() { problem.of_job(&id, location(queue, &id)) } else { problem }
    });
    match stored?.pop() {
        Some(Stored::Duplicate(holder)) => Err(duplicate(&holder)),
        Some(Stored::Existing) if is_alike(&app, queue, &id, &draft).await? => {
            if stem.is_some() {
                Ok(([REPLAYED], created(StatusCode::CREATED, queue, &id)).into_response())
            } else {
                Ok(created(StatusCode::OK, queue, &id))
            }
        }
        Some(Stored::Existing) if stem.is_some() => Err(reused()),
        Some(Stored::Existing) => {
            Err(Problem::conflict("exists", format!("a different job `{id}` exists")).with("id", id.as_str()))
        }
        _ => Ok(created(StatusCode::CREATED, queue, &id)),
    }
}

/// Whether the existing job with that id has this description. `true` for one that has gone
/// meanwhile.
async fn is_alike(app: &App, queue: &str, id: &JobId, draft: &Draft) -> Result<bool, Problem> {
    let record = app.node().broker.job(queue, id).await?;
    Ok(record.is_none_or(|record| draft.describes(&record)))
}

/// Refuses a request with two names for the job.
pub(super) fn two_names() -> Problem {
    Problem::unprocessable("two-names", "`Idempotency-Key` and `id` both name the job: send one of them")
}

fn duplicate(holder: &JobId) -> Problem {
    let detail = format!("the job `{holder}` has the same unique key, and is not over yet");
    Problem::conflict("duplicate", detail).with("held_by", holder.as_str())
}

fn location(queue: &str, id: &JobId) -> String {
    format!("/api/queue/{queue}/jobs/{id}")
}

fn created(status: StatusCode, queue: &str, id: &JobId) -> Response {
    let mut response = (status, axum::Json(json!({"id": id}))).into_response();
    // Ids contain only characters that are valid in a path.
    if let Ok(location) = HeaderValue::try_from(location(queue, id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
