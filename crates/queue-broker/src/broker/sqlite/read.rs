//! Reads, on the pool. They never wait for a writer.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::error::failed;
use super::row::{StoredJob, limit as bound, maybe_time, number, settings as settings_of};
use super::sql;
use crate::broker::{Cursor, GroupCounts, Page, QueueCounts, QueueOverview};
use crate::error::BrokerError;
use crate::id::{GroupId, JobId};
use crate::record::JobRecord;
use crate::state::JobState;
use crate::timestamp::Timestamp;

fn failure(operation: &'static str) -> impl Fn(sqlx::Error) -> BrokerError {
    move |error| failed(operation, Arc::new(error))
}

/// Whether a queue has ready jobs to lease, and when its next delayed job is due.
pub(super) async fn work(
    readers: &SqlitePool,
    queue: &str,
    now: Timestamp,
) -> Result<(bool, Option<Timestamp>), BrokerError> {
    let failure = failure("wait");
    let row = sqlx::query(sql::WORK).bind(queue).fetch_optional(readers).await.map_err(&failure)?;
    let Some(row) = row else { return Ok((false, None)) };
    let look = || {
        let (settings, throttle) = settings_of(&row)?;
        let leased = usize::try_from(row.try_get::<i64, _>("leased")?).unwrap_or(0);
        let has_ready = row.try_get::<bool, _>("has_ready")? && !row.try_get::<bool, _>("paused")?;
        let token = settings.next_token(throttle, now).filter(|_| has_ready);
        let due = [maybe_time(&row, "next_due")?, token].into_iter().flatten().min();
        Ok((has_ready && settings.admitted(leased, throttle, now) > 0, due))
    };
    look().map_err(failure)
}

pub(super) async fn group(
    readers: &SqlitePool,
    queue: &str,
    group: &GroupId,
) -> Result<Option<GroupCounts>, BrokerError> {
    let row: Option<(i64, i64, i64, i64)> = sqlx::query_as(sql::GROUP)
        .bind(queue)
        .bind(group.as_str())
        .fetch_optional(readers)
        .await
        .map_err(failure("count a group"))?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(row.map(|(total, done, dead, cancelled)| GroupCounts {
        total: count(total),
        done: count(done),
        dead: count(dead),
        cancelled: count(cancelled),
    }))
}

pub(super) async fn job(readers: &SqlitePool, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
    let failure = failure("read a job");
    let row = sqlx::query(sql::JOB).bind(queue).bind(id.as_str()).fetch_optional(readers);
    let row = row.await.map_err(&failure)?;
    let job = row.map(|row| StoredJob::read(&row)).transpose().map_err(&failure)?;
    Ok(job.map(|job| job.into_record(queue)))
}

pub(super) async fn list(
    readers: &SqlitePool,
    queue: &str,
    state: JobState,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Page, BrokerError> {
    let failure = failure("list jobs");
    let (statement, start) = if state.is_finished() {
        (sql::LIST_DOWN, Cursor { rank: i64::MAX, at: i64::MAX, seq: i64::MAX })
    } else {
        (sql::LIST_UP, Cursor { rank: i64::MIN, at: i64::MIN, seq: i64::MIN })
    };
    let start = cursor.unwrap_or(start);
    let rows = sqlx::query(statement)
        .bind(queue)
        .bind(number(state))
        .bind(start.rank)
        .bind(start.at)
        .bind(start.seq)
        .bind(bound(limit.saturating_add(1)))
        .fetch_all(readers)
        .await
        .map_err(&failure)?;
    let more = rows.len() > limit;
    let mut page = Page::default();
    for row in rows.iter().take(limit) {
        let job = StoredJob::read(row).map_err(&failure)?;
        let place = Cursor { rank: job.rank, at: job.standing.at.unix_ms(), seq: job.seq };
        page.next = more.then_some(place);
        page.items.push(job.into_record(queue));
    }
    Ok(page)
}

pub(super) async fn overviews(
    readers: &SqlitePool,
    queues: &[&str],
    now: Timestamp,
) -> Result<Vec<QueueOverview>, BrokerError> {
    let failure = failure("count jobs");
    let rows = sqlx::query(sql::OVERVIEWS).bind(names(queues)).fetch_all(readers).await.map_err(&failure)?;
    let mut overviews = vec![QueueOverview::default(); queues.len()];
    for row in rows {
        let read = || Ok((row.try_get::<i64, _>("nth")?, QueueOverview::new(counts(&row, now)?, settings_of(&row)?.0)));
        let (nth, overview) = read().map_err(&failure)?;
        if let Some(place) = usize::try_from(nth).ok().and_then(|nth| overviews.get_mut(nth)) {
            *place = overview;
        }
    }
    Ok(overviews)
}

pub(super) async fn overview(readers: &SqlitePool, queue: &str, now: Timestamp) -> Result<QueueOverview, BrokerError> {
    Ok(overviews(readers, &[queue], now).await?.pop().unwrap_or_default())
}

pub(super) async fn running(
    readers: &SqlitePool,
    queues: &[&str],
    limit: usize,
) -> Result<Vec<JobRecord>, BrokerError> {
    let failure = failure("list running jobs");
    let rows = sqlx::query(sql::RUNNING).bind(names(queues)).bind(bound(limit)).fetch_all(readers);
    let mut jobs = Vec::new();
    for row in rows.await.map_err(&failure)? {
        let queue: String = row.try_get("of_queue").map_err(&failure)?;
        let job = StoredJob::read(&row).map_err(&failure)?;
        let nth = queues.iter().position(|name| *name == queue);
        jobs.push(((nth, job.standing.at, job.seq), job.into_record(&queue)));
    }
    jobs.sort_by_key(|(place, _)| *place);
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

/// A JSON array of names, for `json_each`.
fn names(queues: &[&str]) -> String {
    serde_json::json!(queues).to_string()
}

fn counts(row: &SqliteRow, now: Timestamp) -> Result<QueueCounts, sqlx::Error> {
    let count = |column: &str| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    Ok(QueueCounts {
        ready: count("ready")?,
        delayed: count("delayed")?,
        waiting: count("waiting")?,
        leased: count("leased")?,
        done: count("done")?,
        dead: count("dead")?,
        cancelled: count("cancelled")?,
        oldest_ready_age: maybe_time(row, "oldest_ready")?.map(|at| now.since(at)),
        paused: count("paused")? != 0,
        completed_total: count("completed_total")?,
        failed_total: count("failed_total")?,
        retried_total: count("retried_total")?,
        reclaimed_total: count("reclaimed_total")?,
        stale_acks_total: count("stale_acks_total")?,
        recovered_total: 0,
        dropped_total: 0,
    })
}

pub(super) async fn queues(readers: &SqlitePool) -> Result<Vec<String>, BrokerError> {
    sqlx::query_scalar(sql::QUEUES).fetch_all(readers).await.map_err(failure("list queues"))
}
