//! Reads, on the pool: they never wait for a writer.

use std::sync::Arc;

use sqlx::{Row, SqlitePool};

use super::row::{StoredJob, limit as bound, number};
use super::{failed, sql};
use crate::broker::{Cursor, Page, QueueCounts};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::id::JobId;
use crate::record::JobRecord;
use crate::state::State;

fn failure(operation: &'static str) -> impl Fn(sqlx::Error) -> BrokerError {
    move |error| failed(operation, Arc::new(error))
}

/// Whether a queue has ready jobs to lease, and when its next delayed job is due.
pub(super) async fn work(readers: &SqlitePool, queue: &str) -> Result<(bool, Option<Timestamp>), BrokerError> {
    let row: Option<(bool, Option<i64>)> =
        sqlx::query_as(sql::WORK).bind(queue).fetch_optional(readers).await.map_err(failure("wait"))?;
    Ok(row.map_or((false, None), |(ready, due)| (ready, due.map(Timestamp::from_unix_ms))))
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
    state: State,
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

pub(super) async fn counts(readers: &SqlitePool, queue: &str, now: Timestamp) -> Result<QueueCounts, BrokerError> {
    let failure = failure("count jobs");
    let row = sqlx::query(sql::COUNTS).bind(queue).fetch_optional(readers);
    let Some(row) = row.await.map_err(&failure)? else {
        return Ok(QueueCounts::default());
    };
    let oldest: Option<i64> = sqlx::query_scalar(sql::OLDEST_READY)
        .bind(row.try_get::<i64, _>("id").map_err(&failure)?)
        .fetch_one(readers)
        .await
        .map_err(&failure)?;
    let count = |column: &str| {
        let number = row.try_get::<i64, _>(column).map_err(&failure)?;
        Ok::<u64, BrokerError>(u64::try_from(number).unwrap_or(0))
    };
    Ok(QueueCounts {
        ready: count("ready")?,
        delayed: count("delayed")?,
        waiting: 0,
        leased: count("leased")?,
        done: count("done")?,
        dead: count("dead")?,
        cancelled: count("cancelled")?,
        oldest_ready_age: oldest.map(|at| now.since(Timestamp::from_unix_ms(at))),
        paused: count("paused")? != 0,
        completed_total: count("completed_total")?,
        failed_total: count("failed_total")?,
        retried_total: count("retried_total")?,
        reclaimed_total: count("reclaimed_total")?,
        stale_acks_total: count("stale_acks_total")?,
    })
}

pub(super) async fn queues(readers: &SqlitePool) -> Result<Vec<String>, BrokerError> {
    sqlx::query_scalar(sql::QUEUES).fetch_all(readers).await.map_err(failure("list queues"))
}
