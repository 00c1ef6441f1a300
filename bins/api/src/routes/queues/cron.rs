//! `/api/queue/cron`: schedules of recurring jobs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tidegate_node::jobs::{QUEUES, usual_kind};
use tidegate_queue::{JobId, Listing, Schedule, ScheduleError, ScheduleState, Schedules, Triggered};

use super::short;
use tidegate_web::answer::created;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// Returns all schedules by name, and those that cannot be read, for example because a newer
/// version wrote them.
pub(super) async fn list(State(app): State<App>) -> Result<axum::Json<Value>, Problem> {
    let listing = all(&app).await?;
    let broken = listing.broken.iter().map(|broken| json!({"name": broken.name, "fault": broken.fault}));
    let broken: Vec<_> = broken.collect();
    Ok(axum::Json(json!({"items": listing.schedules, "broken": broken, "next_cursor": null})))
}

/// Returns all schedules by name, and those that cannot be read.
pub(crate) async fn all(app: &App) -> Result<Listing, Problem> {
    schedules(app).list().await.map_err(refused)
}

pub(super) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<axum::Json<ScheduleState>, Problem> {
    match schedules(&app).get(&name).await {
        Ok(Some(state)) => Ok(axum::Json(state)),
        Ok(None) | Err(ScheduleError::Name(_)) => Err(missing(&name)),
        Err(error) => Err(refused(error)),
    }
}

pub(super) async fn create(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Result<Response, Problem> {
    let schedule = read(body)?;
    let state = schedules(&app).create(schedule).await.map_err(refused)?;
    let location = format!("/api/queue/cron/{}", state.schedule.name);
    Ok(created(&state, location))
}

pub(super) async fn replace(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(mut body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    if body.get("name").is_some_and(|other| *other != name) {
        return Err(Problem::unprocessable("bad-schedule", "`name` differs from the name in the path"));
    }
    body.insert("name".to_owned(), name.into());
    let schedule = read(body)?;
    let schedules = schedules(&app);
    // A schedule that cannot be read exists, and is replaced.
    let is_new = matches!(schedules.get(&schedule.name).await, Ok(None));
    let state = schedules.put(schedule).await.map_err(refused)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(state)).into_response())
}

pub(super) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    delete(&app, &name).await.map(|()| StatusCode::NO_CONTENT)
}

pub(crate) async fn delete(app: &App, name: &str) -> Result<(), Problem> {
    match schedules(app).remove(name).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(ScheduleError::Name(_)) => Err(missing(name)),
        Err(error) => Err(refused(error)),
    }
}

pub(super) async fn pause(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<axum::Json<ScheduleState>, Problem> {
    set_paused(&app, &name, true).await.map(axum::Json)
}

pub(super) async fn resume(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<axum::Json<ScheduleState>, Problem> {
    set_paused(&app, &name, false).await.map(axum::Json)
}

pub(crate) async fn set_paused(app: &App, name: &str, paused: bool) -> Result<ScheduleState, Problem> {
    let schedules = schedules(app);
    let state = if paused { schedules.pause(name).await } else { schedules.resume(name).await };
    state.map_err(|error| of_path(error, name))
}

pub(super) async fn trigger(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let id = run_now(&app, &name).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({"job_id": id}))).into_response())
}

pub(crate) async fn run_now(app: &App, name: &str) -> Result<JobId, Problem> {
    match schedules(app).trigger(name).await.map_err(|error| of_path(error, name))? {
        Triggered::Enqueued(id) => Ok(id),
        Triggered::StillRunning(id) => {
            let detail = format!("its job `{id}` is not finished, and the schedule says that they don't overlap");
            Err(Problem::conflict("still-running", detail).with("job_id", id.as_str()))
        }
    }
}

fn schedules(app: &App) -> Schedules {
    Schedules::new(app.node().broker.clone())
}

/// Parses a schedule, with the queue's default kind if it names none.
fn read(mut body: Map<String, Value>) -> Result<Schedule, Problem> {
    let queue = body.get("queue").and_then(Value::as_str);
    let queue = queue.map(|queue| {
        let known = QUEUES.iter().copied().find(|known| *known == queue);
        known.ok_or_else(|| {
            let detail = format!("`queue`: there is no queue `{}`; there is {}", short(queue), QUEUES.join(", "));
            Problem::unprocessable("bad-schedule", detail)
        })
    });
    if let Some(kind) = queue.transpose()?.and_then(usual_kind) {
        body.entry("kind").or_insert_with(|| kind.into());
    }
    serde_json::from_value(Value::Object(body))
        .map_err(|error| Problem::bad_request("unexpected-json", format!("the schedule can't be read: {error}")))
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("there is no schedule `{}`", short(name)))
}

/// A name in a path exists or not, however it is spelt.
fn of_path(error: ScheduleError, name: &str) -> Problem {
    match error {
        ScheduleError::Unknown(_) | ScheduleError::Name(_) => missing(name),
        other => refused(other),
    }
}

fn refused(error: ScheduleError) -> Problem {
    match error {
        ScheduleError::Unknown(name) => missing(&name),
        ScheduleError::Exists(_) => Problem::conflict("exists", error.to_string()),
        ScheduleError::Contended(_) => Problem::conflict("contended", error.to_string()).try_again_later(),
        ScheduleError::Broken { .. } => {
            Problem::conflict("unreadable", format!("{error}; it may be replaced with PUT or removed with DELETE"))
        }
        ScheduleError::Broker(error) => Problem::from(error),
        other => Problem::unprocessable("bad-schedule", other.to_string()),
    }
}
