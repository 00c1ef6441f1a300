//! `/api/schedules`: a tenant's schedules.

pub(super) mod operations;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tidegate_model::schedule::{FieldErrors, RawSchedule, ScheduleDraft};
use tidegate_store::{Creation, Schedule};
use uuid::Uuid;

use tidegate_web::answer::created;
use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::json::Json;
use tidegate_web::page::PageQuery;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;
use tidegate_web::representation::{self, IfNoneMatch};

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    known: IfNoneMatch,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let page = app.schedules().page(&caller.tenant.id, query.limit()?, query.after()?).await?;
    representation::respond(&known, page, || Problem::not_found("there is no such page"))
}

pub(super) async fn show(
    State(app): State<App>,
    method: Method,
    caller: Caller,
    known: IfNoneMatch,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = schedule_id(&id)?;
    let schedule = app.schedules().get(&caller.tenant.id, id).await?;
    if method == Method::GET && schedule.is_something() {
        app.views().count(&caller.tenant.id);
    }
    representation::respond(&known, schedule, || no_schedule(&id.to_string()))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    Json(raw): Json<RawSchedule>,
) -> Result<Response, Problem> {
    let draft = ScheduleDraft::try_new(&raw).map_err(|errors| invalid(&errors))?;
    let (store, tenant) = (app.schedules().store(), &caller.tenant.id);
    let creation = match key.within(&["schedule"]) {
        None => Creation::New(store.create_schedule(tenant, &draft).await?),
        Some(key) => store.create_schedule_once(tenant, &draft, &key).await?,
    };
    match creation {
        Creation::New(schedule) => Ok(made(&schedule)),
        Creation::Repeated(schedule) => Ok(([REPLAYED], made(&schedule)).into_response()),
        Creation::Reused => Err(reused()),
    }
}

fn made(schedule: &Schedule) -> Response {
    created(schedule, format!("/api/schedules/{}", schedule.id))
}

pub(super) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(raw): Json<RawSchedule>,
) -> Result<Response, Problem> {
    let id = schedule_id(&id)?;
    let draft = ScheduleDraft::try_new(&raw).map_err(|errors| invalid(&errors))?;
    let schedule = app.schedules().store().replace_schedule(&caller.tenant.id, id, &draft).await?;
    schedule.map(|schedule| axum::Json(schedule).into_response()).ok_or_else(|| no_schedule(&id.to_string()))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = schedule_id(&id)?;
    let was_there = app.schedules().store().delete_schedule(&caller.tenant.id, id).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(no_schedule(&id.to_string())) }
}

fn schedule_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| no_schedule(text))
}

fn no_schedule(id: &str) -> Problem {
    Problem::not_found(format!("there is no schedule `{id}`"))
}

/// Lists every invalid field with its reason.
fn invalid(errors: &FieldErrors) -> Problem {
    let fields: serde_json::Map<_, _> =
        errors.iter().map(|error| (error.field.to_string(), error.problem.to_string().into())).collect();
    Problem::unprocessable("invalid-fields", errors.to_string()).with("fields", fields)
}
