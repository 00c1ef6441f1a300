//! `/api/queue/batches/{id}`: how far a group has come.

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_app::jobs::QUEUES;
use tidegate_queue::GroupId;

use super::short;
use crate::app::App;
use crate::path::Path;
use crate::problem::Problem;

/// A group is its queue's; the first queue that has met it is told of.
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<Value>, Problem> {
    let missing = || Problem::not_found(format!("there is no batch `{}`", short(&id)));
    let group = GroupId::new(&id).map_err(|_| missing())?;
    for queue in QUEUES {
        if let Some(counts) = app.node().broker.group(queue, &group).await? {
            let mut body = json!(counts);
            body["id"] = json!(group);
            body["queue"] = json!(queue);
            body["pending"] = json!(counts.pending());
            return Ok(axum::Json(body));
        }
    }
    Err(missing())
}
