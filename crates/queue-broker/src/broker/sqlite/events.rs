//! The latest events of a queue, kept while the setting is on.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{Row, SqlitePool};

use super::error::failed;
use super::row::{limit as bound, time, unreadable};
use super::sql;
use super::writer::{QueueRow, Step};
use crate::broker::{EVENTS_KEPT, EventCursor, EventPage, JobEvent, JobEventKind};
use crate::error::BrokerError;
use crate::id::JobId;

/// Adds events if the setting is on.
pub(super) async fn add<'a>(
    step: &mut Step<'_>,
    queue: &QueueRow,
    events: impl IntoIterator<Item = (&'a JobId, JobEventKind)> + Send,
) -> Result<(), sqlx::Error> {
    if !queue.settings.events {
        return Ok(());
    }
    let rows =
        events.into_iter().map(|(id, what)| Ok::<_, serde_json::Error>((id.as_str(), serde_json::to_string(&what)?)));
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(unreadable("event"))?;
    if rows.is_empty() {
        return Ok(());
    }
    let last: i64 = sqlx::query_scalar(sql::LAST_EVENT).bind(queue.id).fetch_one(&mut *step.conn).await?;
    sqlx::query(sql::ADD_EVENTS)
        .bind(serde_json::to_string(&rows).map_err(unreadable("event"))?)
        .bind(queue.id)
        .bind(last + 1)
        .bind(step.now.unix_ms())
        .execute(&mut *step.conn)
        .await?;
    let oldest = last + bound(rows.len()) - bound(EVENTS_KEPT);
    sqlx::query(sql::TRIM_EVENTS).bind(queue.id).bind(oldest).execute(&mut *step.conn).await?;
    Ok(())
}

pub(super) async fn after(
    readers: &SqlitePool,
    queue: &str,
    cursor: Option<EventCursor>,
    limit: usize,
) -> Result<EventPage, BrokerError> {
    let read = async {
        let latest: i64 = sqlx::query_scalar(sql::LATEST_EVENT).bind(queue).fetch_one(readers).await?;
        let from = cursor.map_or(latest, |cursor| cursor.as_str().parse().unwrap_or(0).min(latest));
        let rows = sqlx::query(sql::EVENTS).bind(queue).bind(from).bind(bound(limit)).fetch_all(readers).await?;
        let mut page = EventPage { events: Vec::with_capacity(rows.len()), cursor: EventCursor(from.to_string()) };
        for row in &rows {
            let what: Value = serde_json::from_str(row.try_get("what")?).map_err(unreadable("what"))?;
            page.events.push(JobEvent {
                at: time(row, "at")?,
                id: JobId::new(row.try_get::<&str, _>("job")?).map_err(unreadable("job"))?,
                what: serde_json::from_value(what).map_err(unreadable("what"))?,
            });
            page.cursor = EventCursor(row.try_get::<i64, _>("number")?.to_string());
        }
        Ok(page)
    };
    read.await.map_err(|error: sqlx::Error| failed("read events", Arc::new(error)))
}
