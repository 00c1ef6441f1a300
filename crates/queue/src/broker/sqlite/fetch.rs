//! The frequent steps: enqueue, and acknowledge and fetch. One statement for many rows.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::Row;

use super::row::{id, limit, milliseconds, priority, time};
use super::settle::tokens_json;
use super::sql;
use super::writer::{Operation, Step};
use crate::broker::{Fetch, NewJob};
use crate::clock::Timestamp;
use crate::lease::{Ack, LeaseToken, LeasedJob, Settled};
use crate::state::State;

/// Rows in one statement.
pub(super) const CHUNK: usize = 500;
/// Bytes of payloads or results in one statement, beyond its first row: SQLite refuses JSON above 1 GB.
const CHUNK_BYTES: usize = 8 << 20;

/// Cuts rows into what one statement takes.
fn chunks<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut total = 0;
        let fits = rows.iter().take(CHUNK).take_while(|row| {
            total += bytes(row);
            total <= CHUNK_BYTES
        });
        let count = fits.count().max(1).min(rows.len());
        let (chunk, rest) = rows.split_at(count);
        rows = rest;
        (count > 0).then_some(chunk)
    })
}

pub(super) struct Enqueue {
    pub(super) queue: String,
    pub(super) jobs: Vec<NewJob>,
}

#[async_trait]
impl Operation for Enqueue {
    type Answer = usize;
    const NAME: &'static str = "enqueue";

    async fn apply(&self, step: &mut Step<'_>) -> Result<usize, sqlx::Error> {
        let queue = step.queue_or_make(&self.queue).await?;
        let mut created = 0;
        for chunk in chunks(&self.jobs, |job| job.payload.len()) {
            let (ready, delayed): (Vec<_>, Vec<_>) = chunk.iter().partition(|job| job.due_at(step.now) <= step.now);
            created += insert(step, queue, State::Ready, &ready).await?;
            created += insert(step, queue, State::Delayed, &delayed).await?;
        }
        Ok(created)
    }
}

async fn insert(step: &mut Step<'_>, queue: i64, state: State, jobs: &[&NewJob]) -> Result<usize, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let now = step.now;
    let rows: Vec<_> = jobs.iter().map(|job| row(job, now)).collect();
    let rows = serde_json::to_string(&rows).map_err(super::row::unreadable("jobs"))?;
    let done = sqlx::query(sql::ENQUEUE)
        .bind(rows)
        .bind(queue)
        .bind(super::row::number(state))
        .bind(now.unix_ms())
        .execute(&mut *step.conn)
        .await?;
    let created = usize::try_from(done.rows_affected()).unwrap_or(usize::MAX);
    step.tally(queue).enter(state, created);
    Ok(created)
}

/// As the statement reads it.
type NewRow<'a> = (&'a str, u8, i64, i64, &'a str, u32, &'a str, Option<u32>, Option<i64>);

fn row(job: &NewJob, now: Timestamp) -> NewRow<'_> {
    let run_at = job.due_at(now);
    (
        job.id.as_str(),
        job.priority.level(),
        run_at.max(now).unix_ms(),
        run_at.unix_ms(),
        &job.kind,
        job.version,
        &job.payload,
        job.max_attempts,
        job.timeout.map(milliseconds),
    )
}

pub(super) struct AckAndFetch {
    pub(super) queue: String,
    pub(super) acks: Vec<Ack>,
    pub(super) fetch: Fetch,
}

#[async_trait]
impl Operation for AckAndFetch {
    type Answer = (Vec<Settled>, Vec<LeasedJob>);
    const NAME: &'static str = "acknowledge and fetch";

    async fn apply(&self, step: &mut Step<'_>) -> Result<Self::Answer, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else {
            return Ok((vec![Settled::Superseded; self.acks.len()], Vec::new()));
        };
        let mut settled = Vec::with_capacity(self.acks.len());
        for chunk in chunks(&self.acks, |ack| ack.result.len()) {
            settled.extend(acknowledge(step, queue.id, chunk).await?);
        }
        let idle = queue.paused || !queue.has_ready || self.fetch.max == 0;
        let leased = if idle { Vec::new() } else { lease(step, queue.id, &self.fetch).await? };
        Ok((settled, leased))
    }
}

async fn acknowledge(step: &mut Step<'_>, queue: i64, acks: &[Ack]) -> Result<Vec<Settled>, sqlx::Error> {
    let tokens = tokens_json(acks.iter().map(|ack| (&ack.token, Some(ack.result.as_str()))))?;
    let rows =
        sqlx::query(sql::ACK).bind(tokens).bind(queue).bind(step.now.unix_ms()).fetch_all(&mut *step.conn).await?;
    let mut done: HashSet<LeaseToken> = HashSet::with_capacity(rows.len());
    for row in rows {
        done.insert(super::settle::token(&row)?);
    }
    let tally = step.tally(queue);
    tally.shift(State::Leased, State::Done, done.len());
    tally.completed += i64::try_from(done.len()).unwrap_or(i64::MAX);
    let mut settled = Vec::with_capacity(acks.len());
    for ack in acks {
        // A token given twice in one batch was settled by its first mention.
        settled.push(if done.remove(&ack.token) {
            Settled::Now
        } else {
            super::settle::unsettled(step, queue, &ack.token).await?
        });
    }
    Ok(settled)
}

async fn lease(step: &mut Step<'_>, queue: i64, fetch: &Fetch) -> Result<Vec<LeasedJob>, sqlx::Error> {
    let now = step.now;
    let rows = sqlx::query(sql::FETCH)
        .bind(queue)
        .bind(now.after(fetch.lease).unix_ms())
        .bind(fetch.worker.as_str())
        .bind(now.unix_ms())
        .bind(limit(fetch.max))
        .fetch_all(&mut *step.conn)
        .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in &rows {
        let token = LeaseToken { id: id(row)?, delivery: row.try_get("delivery")?, nonce: fetch.worker.clone() };
        let timeout: Option<i64> = row.try_get("timeout_ms")?;
        let job = LeasedJob {
            token,
            kind: row.try_get("kind")?,
            version: row.try_get("version")?,
            payload: row.try_get("payload")?,
            priority: priority(row)?,
            max_attempts: row.try_get("max_attempts")?,
            timeout: timeout.map(|ms| std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(1))),
            failures: row.try_get("failures")?,
            created_at: time(row, "created_at")?,
            ready_at: time(row, "ready_at")?,
            leased_at: now,
            expires_at: None,
            trace_parent: None,
            group: None,
            checkpoint: None,
        };
        jobs.push((row.try_get::<i64, _>("seq")?, job));
    }
    step.tally(queue).shift(State::Ready, State::Leased, jobs.len());
    // An UPDATE returns its rows in no promised order.
    jobs.sort_unstable_by_key(|(seq, job)| (job.priority, job.ready_at, *seq));
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_takes_so_many_rows_and_bytes_but_always_one() {
        let cut = |rows: &[usize]| chunks(rows, |bytes| *bytes).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(cut(&[]), [0; 0]);
        assert_eq!(cut(&[1; 1_001]), [500, 500, 1]);
        assert_eq!(cut(&[1 << 20; 20]), [8, 8, 4]);
        assert_eq!(cut(&[CHUNK_BYTES + 1, 1, CHUNK_BYTES, usize::MAX >> 1]), [1, 1, 1, 1]);
    }
}
