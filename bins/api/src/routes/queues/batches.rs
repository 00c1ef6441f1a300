//! `/api/queue/batches`: groups of jobs, which are created, sealed, read and deleted.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_node::jobs::{QUEUES, usual_kind};
use tidegate_queue::{
    Completion, CompletionPolicy, EnqueueError, GroupCounts, GroupError, GroupId, GroupProgress, Groups, NewGroup,
};

use super::create::two_names;
use super::{Stem, known, short};
use tidegate_web::answer;
use tidegate_web::app::App;
use tidegate_web::idempotency::{IdempotencyKey, REPLAYED, reused};
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

/// A group as a client describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBatch {
    queue: String,
    id: Option<String>,
    completion: Option<NewCompletion>,
}

/// The job that the group ends with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCompletion {
    queue: String,
    kind: Option<String>,
    payload: Value,
    on: Option<CompletionPolicy>,
}

impl NewCompletion {
    fn read(self) -> Result<Completion, Problem> {
        let queue = named_queue("completion.queue", &self.queue)?;
        let kind = self.kind.or_else(|| usual_kind(queue).map(str::to_owned));
        let kind = kind.ok_or_else(|| bad("completion.kind", &"needed for this queue"))?;
        Ok(Completion::raw(queue, kind, self.payload).on(self.on.unwrap_or_default()))
    }
}

pub(super) async fn create(
    State(app): State<App>,
    key: IdempotencyKey,
    Json(NewBatch { queue, id, completion }): Json<NewBatch>,
) -> Result<Response, Problem> {
    let stem = Stem::within(&key, &["batch"]);
    // Chosen here, so that a response with an unknown outcome can name the group.
    let id = match (id, &stem) {
        (Some(_), Some(_)) => return Err(two_names()),
        (Some(id), None) => GroupId::new(&id).map_err(|error| bad("id", &error))?,
        (None, Some(stem)) => GroupId::new(stem.id()?.as_str()).map_err(|error| Problem::internal(&error))?,
        (None, None) => GroupId::generate(),
    };
    let mut group = NewGroup::new(named_queue("queue", &queue)?).id(id.clone());
    if let Some(completion) = completion {
        group = group.completion(completion.read()?);
    }
    let groups = groups(&app);
    let is_repeated = match groups.create(group.clone()).await {
        Ok(_) => false,
        Err(GroupError::Exists(_)) if stem.is_some() => {
            if !groups.is_alike(&group).await.map_err(refused)? {
                return Err(reused());
            }
            true
        }
        Err(error) => return Err(not_changed(error, &id).retry_with_key(stem.is_some())),
    };
    let progress = groups.progress(&id).await;
    let progress = progress.map_err(|error| not_read(error, &id).retry_with_key(stem.is_some()))?;
    let response = answer::created(&created(&progress), format!("/api/queue/batches/{id}"));
    Ok(if is_repeated { ([REPLAYED], response).into_response() } else { response })
}

/// Takes no more jobs: the group completes when the last one has ended.
pub(super) async fn seal(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let group = GroupId::new(&id).map_err(|_| missing(&id))?;
    let groups = groups(&app);
    groups.seal(&group).await.map_err(|error| not_changed(error, &group))?;
    let progress = groups.progress(&group).await.map_err(|error| not_read(error, &group))?;
    Ok(axum::Json(created(&progress)))
}

/// Deletes the group and its counts. Its jobs stay.
pub(super) async fn forget(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let group = GroupId::new(&id).map_err(|_| missing(&id))?;
    let found = groups(&app).forget(&group).await.map_err(|error| not_changed(error, &group))?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&id)) }
}

fn groups(app: &App) -> Groups {
    Groups::new(app.node().broker.clone())
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no batch `{}`", short(id)))
}

fn bad(field: &str, fault: &dyn std::fmt::Display) -> Problem {
    Problem::unprocessable("bad-batch", format!("`{field}`: {fault}"))
}

fn named_queue(field: &str, queue: &str) -> Result<&'static str, Problem> {
    known(queue).map_err(|problem| bad(field, &problem.detail()))
}

/// A group that was created shows all of itself. A group that jobs only named shows the counts of
/// the first queue that knows it.
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let group = GroupId::new(&id).map_err(|_| missing(&id))?;
    let broker = &app.node().broker;
    match groups(&app).progress(&group).await {
        Ok(progress) => return Ok(axum::Json(created(&progress))),
        Err(GroupError::Unknown(_)) => {}
        Err(error) => return Err(refused(error)),
    }
    for queue in QUEUES {
        if let Some(counts) = broker.group(queue, &group).await? {
            return Ok(axum::Json(named(&group, queue, counts)));
        }
    }
    Err(missing(&id))
}

fn created(progress: &GroupProgress) -> Value {
    let mut body = json!(progress);
    body["percent"] = progress.percent().into();
    body
}

/// Formats it like a group that was created.
fn named(group: &GroupId, queue: &str, counts: GroupCounts) -> Value {
    let pending = counts.pending();
    let ended = u128::from(counts.total.saturating_sub(pending)) * 100;
    let percent = ended.checked_div(u128::from(counts.total)).and_then(|percent| u8::try_from(percent).ok());
    json!({
        "id": group, "queue": queue, "total": counts.total, "done": counts.done, "dead": counts.dead,
        "cancelled": counts.cancelled, "pending": pending, "sealed": false, "created_at": null, "completed_at": null,
        "completion_job": null, "percent": percent.unwrap_or(0),
    })
}

/// Why a change of the group was refused, or that its outcome is not known.
fn not_changed(error: GroupError, group: &GroupId) -> Problem {
    match &error {
        GroupError::Broker(lost) | GroupError::Enqueue(EnqueueError::Broker(lost)) if lost.may_have_run() => {
            unknown(&error, group)
        }
        _ => refused(error),
    }
}

/// Why a group can't be read that was changed just now.
fn not_read(error: GroupError, group: &GroupId) -> Problem {
    if matches!(error, GroupError::Broker(_)) { unknown(&error, group) } else { refused(error) }
}

/// The group may have been changed.
fn unknown(error: &GroupError, group: &GroupId) -> Problem {
    let detail = "the job store did not answer; the batch may have been changed: read it at `location` before you send the \
                  request again";
    let location = format!("/api/queue/batches/{group}");
    Problem::outcome_unknown(detail).caused_by(error).with("id", group.as_str()).with("location", location)
}

fn refused(error: GroupError) -> Problem {
    match error {
        GroupError::Broker(error) => Problem::from(error),
        GroupError::Unknown(id) => missing(id.as_str()),
        GroupError::Exists(_) => Problem::conflict("exists", error.to_string()),
        GroupError::Contended(_) => Problem::conflict("contended", error.to_string()).try_again_later(),
        GroupError::Enqueue(EnqueueError::Kind(fault)) => bad("completion.kind", &fault),
        GroupError::Enqueue(EnqueueError::PayloadTooLarge { bytes, limit }) => {
            bad("completion.payload", &format_args!("{bytes} bytes are above the limit of {limit}"))
        }
        broken @ GroupError::Broken { .. } => Problem::conflict("unreadable", broken.to_string()),
        other => Problem::internal(&other),
    }
}
