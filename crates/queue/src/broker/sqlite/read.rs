//! Reads, on the pool: they never wait for a writer.

use std::sync::Arc;

use sqlx::{Row, SqlitePool};

use super::row::{StoredJob, limit as bound, maybe_time, number, settings as settings_of};
use super::{failed, sql};
use crate::broker::{Cursor, GroupCounts, Page, QueueCounts, QueueSettings};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::id::{GroupId, JobId};
use crate::record::JobRecord;
use crate::state::State;

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

pub(super) async fn settings(readers: &SqlitePool, queue: &str) -> Result<QueueSettings, BrokerError> {
    let failure = failure("read settings");
    let row = sqlx::query(sql::FIND_QUEUE).bind(queue).fetch_optional(readers).await.map_err(&failure)?;
    row.map_or(Ok(QueueSettings::default()), |row| settings_of(&row).map(|(settings, _)| settings).map_err(failure))
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
        waiting: count("waiting")?,
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
