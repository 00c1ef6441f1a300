//! `/api/queue/batches/{id}`: how far a group has come.

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_app::jobs::QUEUES;
use tidegate_queue::{GroupCounts, GroupError, GroupId, GroupProgress, Groups};

use super::short;
use crate::app::App;
use crate::path::Path;
use crate::problem::Problem;

/// A group that was created says all of itself; of one that jobs only named there are counts, those of the first queue
/// that has met it.
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let missing = || Problem::not_found(format!("there is no batch `{}`", short(&id)));
    let group = GroupId::new(&id).map_err(|_| missing())?;
    let broker = &app.node().broker;
    match Groups::new(broker.clone()).progress(&group).await {
        Ok(progress) => return Ok(axum::Json(created(&progress))),
        Err(GroupError::Unknown(_)) => {}
        Err(error) => return Err(refused(error)),
    }
    for queue in QUEUES {
        if let Some(counts) = broker.group(queue, &group).await? {
            return Ok(axum::Json(named(&group, queue, counts)));
        }
    }
    Err(missing())
}

fn created(progress: &GroupProgress) -> Value {
    let mut body = json!(progress);
    body["percent"] = progress.percent().into();
    body
}

/// In the shape of one that was created.
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

fn refused(error: GroupError) -> Problem {
    match error {
        GroupError::Broker(error) => Problem::from(error),
        broken @ GroupError::Broken { .. } => Problem::conflict("unreadable", broken.to_string()),
        other => Problem::internal(&other),
    }
}
