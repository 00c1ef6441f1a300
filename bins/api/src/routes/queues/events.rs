//! `/api/queue/{queue}/events`: events of a queue whose settings have `events`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_queue::EventCursor;

use super::known;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
const LONGEST_CURSOR: usize = 4_096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// Returns events after a cursor. Without one, only the cursor from which a reader can follow new
/// events.
pub(super) async fn list(
    State(app): State<App>,
    Path(queue): Path<String>,
    Query(query): Query<EventsQuery>,
) -> Result<axum::Json<Value>, Problem> {
    let queue = known(&queue)?;
    let bad = |detail: String| Problem::unprocessable("bad-query", detail);
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad(format!("`limit`: a number from 1 to {MAX_PAGE}")));
    }
    // Only the store knows its cursors. It treats an unknown one as a position before all events.
    let is_text =
        |text: &String| (1..=LONGEST_CURSOR).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if query.after.as_ref().is_some_and(|after| !is_text(after)) {
        return Err(bad("`after`: not a cursor".to_owned()));
    }
    let broker = &app.node().broker;
    let is_kept = broker.settings(queue).await?.events;
    let page = broker.events(queue, query.after.map(EventCursor::from_text), limit).await?;
    Ok(axum::Json(json!({"items": page.events, "next_cursor": page.cursor, "enabled": is_kept})))
}
